-- Every event that was taken into account, as it came. The tables below are a function of it.
CREATE TABLE event_log (
    event_id uuid PRIMARY KEY,
    type text NOT NULL,
    subject text NOT NULL,
    data text NOT NULL,
    received_at timestamptz NOT NULL
);

-- One row: whoever changes the read model locks it, so that a rebuild sees no half of an event.
CREATE TABLE projection (
    id bigint PRIMARY KEY,
    events bigint NOT NULL,
    last_event_at timestamptz
);
INSERT INTO projection (id, events) VALUES (1, 0);

CREATE TABLE sales_orders (
    order_id uuid PRIMARY KEY,
    store_id uuid NOT NULL,
    currency text NOT NULL,
    channel text NOT NULL,
    origin text NOT NULL,
    business_date date NOT NULL,
    -- ISO 8601 month of the business date, such as 2015-07.
    month text NOT NULL,
    -- Hour of the store's clock, 0 to 23.
    hour bigint NOT NULL,
    -- ISO 8601 weekday of the business date: 1 is Monday.
    weekday bigint NOT NULL,
    items bigint NOT NULL,
    net_amount bigint NOT NULL
);
CREATE INDEX sales_orders_by_date ON sales_orders (business_date);

CREATE TABLE sales_lines (
    order_id uuid NOT NULL,
    line_no bigint NOT NULL,
    store_id uuid NOT NULL,
    business_date date NOT NULL,
    item_sku text NOT NULL,
    item_name text NOT NULL,
    product_key text NOT NULL,
    product_name text NOT NULL,
    category text NOT NULL,
    quantity bigint NOT NULL,
    net_amount bigint NOT NULL,
    PRIMARY KEY (order_id, line_no)
);
CREATE INDEX sales_lines_by_date ON sales_lines (business_date);

-- Orders that do not count, whether their confirmation came before or comes after.
CREATE TABLE cancelled_orders (
    order_id uuid PRIMARY KEY
);

-- Money that went back for orders that still count.
CREATE TABLE refunds (
    intent_id uuid NOT NULL,
    -- Refunded so far: tells the refunds of one payment apart, in whatever order they come.
    refunded_total bigint NOT NULL,
    order_id uuid NOT NULL,
    amount bigint NOT NULL,
    PRIMARY KEY (order_id, intent_id, refunded_total)
);
