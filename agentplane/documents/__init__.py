"""Bytes in, documents out: strict parsing of JSON and YAML, before anything is believed.

What leaves is a JSON object with every string storable and every number canonical, or a `Refused` that says where
(`file:line:column`) and why. Never follows a reference, never builds anything but dict, list, str, int, float, bool,
None. `edge` is the only module here that opens files.
"""
