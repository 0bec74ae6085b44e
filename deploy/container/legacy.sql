-- The legacy side of compose.yaml's picture.
CREATE TABLE office (id serial PRIMARY KEY, name text NOT NULL);
CREATE TABLE person (id serial PRIMARY KEY, name text NOT NULL, office_id int REFERENCES office);
INSERT INTO office (name) SELECT 'Office ' || i FROM generate_series(1, 20) i;
INSERT INTO person (name, office_id) SELECT 'Person ' || i, 1 + i % 20 FROM generate_series(1, 5000) i;
