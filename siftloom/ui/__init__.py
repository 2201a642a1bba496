"""`siftloom ui`: a page in the browser over a store. It reads; nothing that it does writes a byte there.

`server` answers requests, `access` decides who may ask, and each other module makes the data of one view.
"""
