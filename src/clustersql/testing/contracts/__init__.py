"""The contracts of the driver adapters, a class for each kind of driver; `testing.contract` and
`testing.async_contract` name them.
"""
