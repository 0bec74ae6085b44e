-- The target of compose.yaml's picture: UUID keys.
CREATE TABLE offices (id uuid PRIMARY KEY, legacy_id int UNIQUE NOT NULL, name text NOT NULL);
CREATE TABLE people (id uuid PRIMARY KEY, legacy_id int UNIQUE NOT NULL, name text NOT NULL, office_id uuid REFERENCES offices);
