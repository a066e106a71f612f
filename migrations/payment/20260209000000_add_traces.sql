-- In which trace an operation was asked for; unknown for those of before.
ALTER TABLE operations ADD COLUMN traceparent text;
