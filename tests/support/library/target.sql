-- The new application's schema. Staff and readers, copies, events and figures are derived; loans, fines, notes and
-- posts of the staff come row by row and refer to derived rows.
CREATE EXTENSION IF NOT EXISTS "uuid-ossp";
CREATE TABLE branches (id uuid PRIMARY KEY, legacy_id int UNIQUE, name text NOT NULL, city text, opened text DEFAULT 'theirs');
CREATE TABLE profiles (id uuid PRIMARY KEY, legacy_id int UNIQUE, login text NOT NULL, name text, home_branch_id uuid REFERENCES branches,
    metadata jsonb NOT NULL DEFAULT '{"theirs": true}');
CREATE TABLE titles (id uuid PRIMARY KEY, legacy_id int UNIQUE, name text, kind text);
CREATE TABLE staff (id uuid PRIMARY KEY, legacy_id int UNIQUE, profile_id uuid NOT NULL REFERENCES profiles, kind text NOT NULL, badge text NOT NULL);
CREATE TABLE readers (id uuid PRIMARY KEY, legacy_id int UNIQUE, profile_id uuid NOT NULL REFERENCES profiles, card text NOT NULL, pin text DEFAULT 'theirs');
CREATE TABLE posts (staff_id uuid NOT NULL REFERENCES staff, branch_id uuid NOT NULL REFERENCES branches, legacy_id int UNIQUE, PRIMARY KEY (staff_id, branch_id));
CREATE TABLE copies (id uuid PRIMARY KEY, legacy_id int UNIQUE, title_id uuid REFERENCES titles, legacy_title_id int, branch_id uuid NOT NULL REFERENCES branches,
    mark text);
CREATE TABLE loans (id uuid PRIMARY KEY, legacy_id int UNIQUE, copy_id uuid NOT NULL REFERENCES copies, legacy_copy_id int,
    reader_id uuid NOT NULL REFERENCES readers, legacy_account_id int, lent_on date, stars int DEFAULT 5);
CREATE TABLE fines (id uuid PRIMARY KEY, legacy_id int UNIQUE, loan_id uuid NOT NULL REFERENCES loans, cents int);
CREATE TABLE loan_events (id uuid PRIMARY KEY, legacy_id int UNIQUE, loan_id uuid NOT NULL REFERENCES loans, from_code text, to_code text, number int);
CREATE TABLE notes (id uuid PRIMARY KEY, legacy_id int UNIQUE, kind text, object int, loan_id uuid REFERENCES loans, copy_id uuid REFERENCES copies,
    author_id uuid REFERENCES profiles, branch_id uuid REFERENCES branches, body text);
CREATE TABLE title_figures (legacy_title_id int PRIMARY KEY, copies int NOT NULL, branches int NOT NULL, loans int NOT NULL);
CREATE INDEX ON profiles (home_branch_id);
CREATE INDEX ON staff (profile_id);
CREATE INDEX ON readers (profile_id);
CREATE INDEX ON posts (branch_id);
CREATE INDEX ON copies (title_id);
CREATE INDEX ON copies (legacy_title_id);
CREATE INDEX ON copies (branch_id);
CREATE INDEX ON loans (copy_id);
CREATE INDEX ON loans (legacy_copy_id);
CREATE INDEX ON loans (reader_id);
CREATE INDEX ON loans (legacy_account_id);
CREATE INDEX ON fines (loan_id);
CREATE INDEX ON loan_events (loan_id);
CREATE INDEX ON notes (loan_id);
CREATE INDEX ON notes (copy_id);
CREATE INDEX ON notes (author_id);
CREATE INDEX ON notes (branch_id);
CREATE INDEX ON notes (kind, object);

-- What the application had before: branches that it knew by their legacy id, one of them twice, and hours that refer to
-- them; and one that is its own.
CREATE TABLE hours (id int PRIMARY KEY, branch_id uuid NOT NULL REFERENCES branches, text text);
INSERT INTO branches (id, legacy_id, name) VALUES ('00000000-0000-4000-8000-000000000001', 1, 'Old one'), ('00000000-0000-4000-8000-000000000003', 3, 'Old three'),
    ('00000000-0000-4000-8000-0000000000ff', NULL, 'Their own');
INSERT INTO hours VALUES (1, '00000000-0000-4000-8000-000000000001', '9-17'), (2, '00000000-0000-4000-8000-0000000000ff', 'never');
