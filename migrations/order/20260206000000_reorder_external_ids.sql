-- An import asks for many ids of one source at a time. PostgreSQL may plan that while the table is
-- empty, and then looks for each of the first columns' values alone: all orders of the source.
DROP INDEX orders_by_external_id;
CREATE UNIQUE INDEX orders_by_external_id ON orders (external_id, source) WHERE source IS NOT NULL;
