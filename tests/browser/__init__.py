"""Home Assistant's page in a real browser.

What the browser showed is in `.artifacts/browser` afterwards; the pictures in `docs/images` are
copies of some of it.
"""
