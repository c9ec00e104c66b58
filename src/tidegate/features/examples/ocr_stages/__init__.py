"""The stages of the document-ocr pipeline: each file is copied into the model data of its container as it is."""
