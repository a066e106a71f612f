#!/usr/bin/env bash
# Run once by the PostgreSQL image, on an empty data folder: one role and one schema per service.
# A role may use its own schema only and finds its tables there without naming it.
set -euo pipefail

run_sql() {
  psql --no-psqlrc --quiet --set ON_ERROR_STOP=1 \
    --username "$POSTGRES_USER" --dbname "$POSTGRES_DB" --set database="$POSTGRES_DB" "$@"
}

run_sql <<'SQL'
REVOKE ALL ON DATABASE :"database" FROM PUBLIC;
REVOKE ALL ON SCHEMA public FROM PUBLIC;
SQL

for service in gateway user inventory order payment analytics iot; do
  password_variable=${service^^}_DB_PASSWORD
  password=${!password_variable:?"$password_variable is not set"}
  # The name of a schema is the service's short name: `user` and `order` need their quotes.
  run_sql --set role="maru_$service" --set schema="$service" --set password="$password" <<'SQL'
CREATE ROLE :"role" LOGIN PASSWORD :'password'
  NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION;
GRANT CONNECT ON DATABASE :"database" TO :"role";
CREATE SCHEMA :"schema" AUTHORIZATION :"role";
ALTER ROLE :"role" SET search_path = :"schema";
SQL
done
