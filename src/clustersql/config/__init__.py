"""What a person may write: files, URLs, knobs, and the options of a call.  Values and checks; no driver, no
topology.
"""
