"""The API described for programs and people: made from the routing table and the types of the messages.

`operation` is what a handler says of itself, `document` makes OpenAPI 3.1 of it, `pages` serve both.
"""
