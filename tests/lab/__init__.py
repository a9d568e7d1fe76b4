"""A county in network namespaces, where the truth is known and compared with what agents say."""
