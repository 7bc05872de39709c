from zf_keras.export.stream import Stream
