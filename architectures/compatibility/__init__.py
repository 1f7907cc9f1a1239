"""Every use of a private API of a library, one module for each library; tests/test_compatibility.py names
what broke.
"""
