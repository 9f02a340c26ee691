"""Legal holds, and the erasure of payloads everywhere we hold them, without breaking a single proof."""
