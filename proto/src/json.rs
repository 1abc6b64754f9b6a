//! JSON of the schema: one mapping for clients and feeds.
