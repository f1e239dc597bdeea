#!/bin/bash
# Two roles for the plane, made once when PostgreSQL's volume is new: one owns the tables, the other works by them.
set -euo pipefail
psql --set ON_ERROR_STOP=1 --username "$POSTGRES_USER" --dbname "$POSTGRES_DB" \
    --set owner="$TRUEUP_OWNER_PASSWORD" --set plane="$TRUEUP_PLANE_PASSWORD" --set database="$POSTGRES_DB" <<'SQL'
CREATE ROLE trueup_owner LOGIN PASSWORD :'owner';
CREATE ROLE trueup LOGIN PASSWORD :'plane';
CREATE ROLE trueup_web NOLOGIN;
GRANT trueup_web TO trueup;
ALTER DATABASE :"database" OWNER TO trueup_owner;
ALTER SCHEMA public OWNER TO trueup_owner;
SQL
