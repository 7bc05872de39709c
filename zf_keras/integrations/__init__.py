"""Models in other libraries; a file each, which needs that library."""
