-- The list of a device's readings, newest first: a page is read from the index, without a look at the
-- rest of what the device ever measured. The metric tells apart what was measured at the same time.
CREATE INDEX readings_by_time ON readings (device_id, measured_at, metric);
