-- First step of the upgrade from the target as deployed to the adopted schema: before pgrekey runs for the first time.
-- Types, names, columns, new tables, views. Nothing is dropped, no row goes. May be run again at any time.
\set ON_ERROR_STOP on

-- For pgrekey.id(), which computes UUIDs in SQL. (Supabase has it, in a schema of its own.)
CREATE EXTENSION IF NOT EXISTS "uuid-ossp";

-- Types. The deployed sets are kept; what the mapping needs beyond them is added.
DO $$
BEGIN
    IF to_regtype('case_type') IS NULL THEN
        CREATE TYPE case_type AS ENUM (
            'initial_consultation', 'treatment_planning', 'active_treatment', 'refinement', 'retention', 'emergency',
            'follow_up'
        );
    END IF;
    IF to_regtype('case_origin') IS NULL THEN
        CREATE TYPE case_origin AS ENUM ('patient', 'project');
    END IF;
    IF to_regtype('practice_role') IS NULL THEN
        CREATE TYPE practice_role AS ENUM ('owner', 'doctor', 'technician', 'assistant', 'admin');
    END IF;
    IF to_regtype('task_status') IS NULL THEN
        CREATE TYPE task_status AS ENUM ('pending', 'in_progress', 'completed', 'approved', 'rejected', 'cancelled');
    END IF;
END $$;
ALTER TYPE profile_type ADD VALUE IF NOT EXISTS 'system';
ALTER TYPE order_status ADD VALUE IF NOT EXISTS 'unknown';
ALTER TYPE project_type ADD VALUE IF NOT EXISTS 'scan';
ALTER TYPE project_type ADD VALUE IF NOT EXISTS 'model';
ALTER TYPE project_type ADD VALUE IF NOT EXISTS 'impression';
ALTER TYPE project_type ADD VALUE IF NOT EXISTS 'photo';

-- Columns that the adopted schema calls otherwise.
DO $$
DECLARE
    old record;
BEGIN
    FOR old IN
        SELECT * FROM (VALUES
            ('cases', 'office_id', 'practice_id'),
            ('projects', 'file_uid', 'legacy_uid'),
            ('case_states', 'previous_state', 'from_state'),
            ('case_states', 'current_state', 'to_state'),
            ('case_states', 'changed_by_id', 'changed_by'),
            ('case_states', 'notes', 'reason'),
            ('case_states', 'changed_at', 'created_at'),
            ('files', 'file_type', 'file_kind'),
            ('files', 'size', 'size_bytes'),
            ('system_messages', 'legacy_record_id', 'legacy_notification_id')
        ) AS v (tab, was, becomes)
        WHERE EXISTS (SELECT FROM pg_attribute WHERE attrelid = tab::regclass AND attname = was AND NOT attisdropped)
    LOOP
        EXECUTE format('ALTER TABLE %I RENAME COLUMN %I TO %I', old.tab, old.was, old.becomes);
    END LOOP;
END $$;

-- Columns that it has and the deployed tables lack.
ALTER TABLE offices
    ADD COLUMN IF NOT EXISTS square_customer_id text,
    ADD COLUMN IF NOT EXISTS email_notifications boolean NOT NULL DEFAULT true;
ALTER TABLE profiles
    ADD COLUMN IF NOT EXISTS role text,
    ADD COLUMN IF NOT EXISTS avatar_url text;
ALTER TABLE patients
    ADD COLUMN IF NOT EXISTS gender text GENERATED ALWAYS AS (
        CASE sex WHEN 'male' THEN 'male' WHEN 'female' THEN 'female' WHEN 'other' THEN 'other' ELSE 'unknown' END) STORED,
    ADD COLUMN IF NOT EXISTS assigned_profile_id uuid REFERENCES profiles,
    ADD COLUMN IF NOT EXISTS practice_id uuid GENERATED ALWAYS AS (assigned_office_id) STORED REFERENCES offices,
    ADD COLUMN IF NOT EXISTS phone text NOT NULL DEFAULT '',
    ADD COLUMN IF NOT EXISTS address text NOT NULL DEFAULT '',
    ADD COLUMN IF NOT EXISTS city text NOT NULL DEFAULT '',
    ADD COLUMN IF NOT EXISTS state text NOT NULL DEFAULT '',
    ADD COLUMN IF NOT EXISTS zip_code text NOT NULL DEFAULT '',
    ADD COLUMN IF NOT EXISTS insurance_provider text NOT NULL DEFAULT '',
    ADD COLUMN IF NOT EXISTS insurance_id text NOT NULL DEFAULT '',
    ADD COLUMN IF NOT EXISTS emergency_contact_name text NOT NULL DEFAULT '',
    ADD COLUMN IF NOT EXISTS emergency_contact_phone text NOT NULL DEFAULT '',
    ADD COLUMN IF NOT EXISTS medical_history jsonb NOT NULL DEFAULT '{}',
    ADD COLUMN IF NOT EXISTS allergies text NOT NULL DEFAULT '',
    ADD COLUMN IF NOT EXISTS medications text NOT NULL DEFAULT '',
    ADD COLUMN IF NOT EXISTS insurance_info jsonb NOT NULL DEFAULT '{}',
    ADD COLUMN IF NOT EXISTS requires_manual_review boolean NOT NULL DEFAULT false;
ALTER TABLE roles
    ADD COLUMN IF NOT EXISTS abbreviation text,
    ADD COLUMN IF NOT EXISTS role_kind int,
    ADD COLUMN IF NOT EXISTS sort_order int,
    ADD COLUMN IF NOT EXISTS profile_id uuid REFERENCES profiles,
    ADD COLUMN IF NOT EXISTS legacy_group_id int;
ALTER TABLE doctor_offices
    ADD COLUMN IF NOT EXISTS legacy_office_doctor_id int,
    ADD COLUMN IF NOT EXISTS is_active boolean NOT NULL DEFAULT true,
    ADD COLUMN IF NOT EXISTS metadata jsonb NOT NULL DEFAULT '{}';
ALTER TABLE products
    ADD COLUMN IF NOT EXISTS course_type course_type,
    ADD COLUMN IF NOT EXISTS is_substitute boolean DEFAULT false,
    ADD COLUMN IF NOT EXISTS customization jsonb;
ALTER TABLE cases
    ADD COLUMN IF NOT EXISTS origin case_origin,
    ADD COLUMN IF NOT EXISTS legacy_project_id int,
    ADD COLUMN IF NOT EXISTS parent_case_id uuid REFERENCES cases,
    ADD COLUMN IF NOT EXISTS title text,
    ADD COLUMN IF NOT EXISTS case_type case_type NOT NULL DEFAULT 'initial_consultation',
    ADD COLUMN IF NOT EXISTS priority text NOT NULL DEFAULT 'medium',
    ADD COLUMN IF NOT EXISTS current_state case_state NOT NULL DEFAULT 'submitted',
    ADD COLUMN IF NOT EXISTS requires_manual_review boolean NOT NULL DEFAULT false;
ALTER TABLE orders
    ADD COLUMN IF NOT EXISTS legacy_status int,
    ADD COLUMN IF NOT EXISTS suffix varchar(10);
ALTER TABLE order_cases
    ADD COLUMN IF NOT EXISTS metadata jsonb NOT NULL DEFAULT '{}';
ALTER TABLE projects
    ADD COLUMN IF NOT EXISTS legacy_id int GENERATED ALWAYS AS (legacy_project_id) STORED,
    ADD COLUMN IF NOT EXISTS case_id uuid REFERENCES cases,
    ADD COLUMN IF NOT EXISTS practice_id uuid REFERENCES offices,
    ADD COLUMN IF NOT EXISTS legacy_type int,
    ADD COLUMN IF NOT EXISTS legacy_status int;
ALTER TABLE treatment_plans
    ADD COLUMN IF NOT EXISTS legacy_instruction_id int;
ALTER TABLE files
    ADD COLUMN IF NOT EXISTS legacy_type int,
    ADD COLUMN IF NOT EXISTS parameters jsonb;
ALTER TABLE case_files
    ADD COLUMN IF NOT EXISTS legacy_file_id int;
ALTER TABLE messages
    ADD COLUMN IF NOT EXISTS legacy_type int,
    ADD COLUMN IF NOT EXISTS patient_id uuid REFERENCES patients,
    ADD COLUMN IF NOT EXISTS case_id uuid REFERENCES cases;
ALTER TABLE case_messages
    ADD COLUMN IF NOT EXISTS legacy_table text,
    ADD COLUMN IF NOT EXISTS legacy_id int,
    ADD COLUMN IF NOT EXISTS message_id uuid REFERENCES messages;
ALTER TABLE treatment_discussions
    ADD COLUMN IF NOT EXISTS metadata jsonb NOT NULL DEFAULT '{}';
ALTER TABLE message_attachments
    ADD COLUMN IF NOT EXISTS metadata jsonb NOT NULL DEFAULT '{}';
ALTER TABLE system_messages
    ADD COLUMN IF NOT EXISTS recipient_id uuid REFERENCES profiles,
    ADD COLUMN IF NOT EXISTS sender text,
    ADD COLUMN IF NOT EXISTS is_read boolean NOT NULL DEFAULT false,
    ADD COLUMN IF NOT EXISTS legacy_item_type text,
    ADD COLUMN IF NOT EXISTS legacy_item_id int;
ALTER TABLE payments
    ADD COLUMN IF NOT EXISTS patient_id uuid REFERENCES patients,
    ADD COLUMN IF NOT EXISTS doctor_id uuid REFERENCES doctors,
    ADD COLUMN IF NOT EXISTS office_id uuid REFERENCES offices,
    ADD COLUMN IF NOT EXISTS paid_amount numeric(12,2) NOT NULL DEFAULT 0,
    ADD COLUMN IF NOT EXISTS method_inferred_by text,
    ADD COLUMN IF NOT EXISTS installments jsonb,
    ADD COLUMN IF NOT EXISTS external_payment_id text;
ALTER TABLE operations
    ADD COLUMN IF NOT EXISTS payment_id uuid REFERENCES payments,
    ADD COLUMN IF NOT EXISTS attempts int,
    ADD COLUMN IF NOT EXISTS performed_at timestamptz,
    ADD COLUMN IF NOT EXISTS metadata jsonb NOT NULL DEFAULT '{}';
ALTER TABLE purchases
    ADD COLUMN IF NOT EXISTS source_table text,
    ADD COLUMN IF NOT EXISTS payment_id uuid REFERENCES payments,
    ADD COLUMN IF NOT EXISTS metadata jsonb NOT NULL DEFAULT '{}';
ALTER TABLE templates
    ADD COLUMN IF NOT EXISTS case_type case_type,
    ADD COLUMN IF NOT EXISTS function_code int,
    ADD COLUMN IF NOT EXISTS steps jsonb NOT NULL DEFAULT '[]',
    ADD COLUMN IF NOT EXISTS practice_id uuid REFERENCES offices,
    ADD COLUMN IF NOT EXISTS copied_from uuid REFERENCES templates, -- a practice's own copy (optional)
    ADD COLUMN IF NOT EXISTS is_active boolean NOT NULL DEFAULT true;

-- What the deployed tables promise and no legacy row can keep, and what they made up.
ALTER TABLE offices ALTER COLUMN country DROP DEFAULT, ALTER COLUMN country DROP NOT NULL;
ALTER TABLE profiles ALTER COLUMN profile_type SET DEFAULT 'client', ALTER COLUMN gender SET DEFAULT 'unknown';
ALTER TABLE patients
    ALTER COLUMN first_name SET DEFAULT '', ALTER COLUMN last_name SET DEFAULT '',
    ALTER COLUMN sex SET DEFAULT 'unknown', ALTER COLUMN status SET DEFAULT 'prospect';
ALTER TABLE orders
    ALTER COLUMN doctor_id DROP NOT NULL, ALTER COLUMN notes SET DEFAULT '', ALTER COLUMN complaint SET DEFAULT '';
ALTER TABLE jaws
    ALTER COLUMN bond_teeth SET DEFAULT '0000000000000000', ALTER COLUMN extract_teeth SET DEFAULT '0000000000000000';
ALTER TABLE projects ALTER COLUMN creator_id DROP NOT NULL, ALTER COLUMN file_size SET DEFAULT 0;
ALTER TABLE files ALTER COLUMN storage_path SET DEFAULT '';
ALTER TABLE messages ALTER COLUMN recipient_type SET DEFAULT 'system';
ALTER TABLE treatment_discussions ALTER COLUMN created_at DROP DEFAULT;
ALTER TABLE system_messages ALTER COLUMN created_at DROP DEFAULT;
ALTER TABLE payments ALTER COLUMN order_id DROP NOT NULL;
ALTER TABLE operations ALTER COLUMN case_id DROP NOT NULL;
DO $$
BEGIN
    IF (SELECT atttypmod FROM pg_attribute WHERE attrelid = 'offices'::regclass AND attname = 'tax_rate') <> (7 << 16 | 6) + 4 THEN
        ALTER TABLE offices ALTER COLUMN tax_rate TYPE numeric(7,6);
    END IF;
    IF (SELECT atttypid FROM pg_attribute WHERE attrelid = 'doctor_offices'::regclass AND attname = 'role') = 'text'::regtype THEN
        ALTER TABLE doctor_offices ALTER COLUMN role DROP DEFAULT;
        ALTER TABLE doctor_offices ALTER COLUMN role TYPE practice_role
            USING CASE WHEN role IN ('owner', 'doctor', 'technician', 'assistant', 'admin') THEN role ELSE 'doctor' END::practice_role;
        ALTER TABLE doctor_offices ALTER COLUMN role SET DEFAULT 'doctor';
    END IF;
END $$;

-- Tables that were never deployed.
CREATE TABLE IF NOT EXISTS practice_profile_associations (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(), profile_id uuid NOT NULL UNIQUE REFERENCES profiles,
    practice_id uuid NOT NULL REFERENCES offices, legacy_user_id int NOT NULL,
    association_method text NOT NULL
        CHECK (association_method IN ('direct_membership', 'geographic', 'organizational', 'default')),
    confidence_level text NOT NULL CHECK (confidence_level IN ('high', 'medium', 'low')),
    requires_manual_review boolean NOT NULL DEFAULT false, created_at timestamptz DEFAULT now()
);
CREATE TABLE IF NOT EXISTS patients_doctors_offices (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(), patient_id uuid NOT NULL UNIQUE REFERENCES patients,
    doctor_id uuid REFERENCES doctors, office_id uuid REFERENCES offices, country text,
    created_at timestamptz DEFAULT now(), metadata jsonb NOT NULL DEFAULT '{}'
);
CREATE TABLE IF NOT EXISTS order_files (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(), order_id uuid NOT NULL REFERENCES orders,
    file_id uuid NOT NULL REFERENCES files, category text NOT NULL DEFAULT 'other',
    created_at timestamptz DEFAULT now(), legacy_file_id int, UNIQUE (order_id, file_id)
);
CREATE TABLE IF NOT EXISTS computational_agents (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(), legacy_agent_id int UNIQUE NOT NULL, name text NOT NULL,
    address text, port int DEFAULT 0, cpu_count int, memory_gb int, memory_used_gb int, is_active boolean DEFAULT true
);
CREATE TABLE IF NOT EXISTS computational_instances (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(), legacy_instance_id int UNIQUE NOT NULL,
    project_id uuid NOT NULL REFERENCES projects, agent_id uuid REFERENCES computational_agents,
    opener_id uuid REFERENCES profiles, port int, queue_position int, started_at timestamptz,
    metadata jsonb NOT NULL DEFAULT '{}'
);
-- Without pgvector: 1,024 floats, or none while the text waits for its embedding.
CREATE TABLE IF NOT EXISTS ai_embeddings (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(), practice_id uuid REFERENCES offices, content_type text NOT NULL,
    content_id uuid NOT NULL, content_text text NOT NULL, sha256_hash char(64) NOT NULL,
    embedding real[] CHECK (embedding IS NULL OR array_length(embedding, 1) = 1024), model text,
    metadata jsonb NOT NULL DEFAULT '{}', created_at timestamptz DEFAULT now(), updated_at timestamptz DEFAULT now(),
    UNIQUE NULLS NOT DISTINCT (practice_id, content_type, sha256_hash)
);

-- Proposals: these exist in the legacy application, and nobody recorded what they look like on the target.
CREATE TABLE IF NOT EXISTS tasks (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(), legacy_task_id int UNIQUE NOT NULL,
    status task_status NOT NULL DEFAULT 'pending', done_at timestamptz, text text,
    jaw text CHECK (jaw IN ('both', 'upper', 'lower')), template_id uuid REFERENCES templates,
    order_id uuid REFERENCES orders, treatment_plan_id uuid REFERENCES treatment_plans, file_id uuid REFERENCES files,
    actor_id uuid REFERENCES profiles, legacy_order_id int
);
CREATE TABLE IF NOT EXISTS brackets (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(), legacy_bracket_id int UNIQUE NOT NULL, name text,
    bracket_type int, project_id uuid REFERENCES projects, legacy_project_id int
);
CREATE TABLE IF NOT EXISTS offers (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(), legacy_offer_id int UNIQUE NOT NULL,
    doctor_id uuid REFERENCES doctors, product_id uuid REFERENCES products, price_both numeric(12,2),
    price_upper numeric(12,2), price_lower numeric(12,2), legacy_doctor_id int, legacy_product_id int
);
CREATE TABLE IF NOT EXISTS discounts (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(), legacy_discount_id int UNIQUE NOT NULL,
    offer_id uuid REFERENCES offers, percent int, reason text, max_uses int, uses int, starts_on date, ends_on date,
    applies_to_total boolean, legacy_offer_id int
);
CREATE TABLE IF NOT EXISTS payment_items (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(), legacy_ware_id int UNIQUE NOT NULL,
    payment_id uuid REFERENCES payments, product_id uuid REFERENCES products, name text, quantity int NOT NULL DEFAULT 1,
    description text, is_free boolean NOT NULL DEFAULT false, global_price numeric(12,2), doctor_price numeric(12,2),
    base_price numeric(12,2), discount_percent int, discount_value numeric(12,2), discount_price numeric(12,2),
    discount_reason text, total_price numeric(12,2), legacy_payment_id int, legacy_product_id int
);
CREATE TABLE IF NOT EXISTS doctor_notes (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(), legacy_note_id int UNIQUE NOT NULL,
    doctor_id uuid REFERENCES doctors, author_id uuid REFERENCES profiles, content text,
    created_at timestamptz NOT NULL, legacy_doctor_id int, legacy_author_id int
);

-- What earlier runs knew about their rows and did not write down, so that adoption finds them.
UPDATE cases SET origin = 'patient' WHERE origin IS NULL AND legacy_patient_id IS NOT NULL;
UPDATE purchases SET source_table = 'dispatch_payment' WHERE source_table IS NULL;
-- One column held the ids of records and of comments; whose it is, the text tells. What is no record is a comment.
UPDATE case_messages c SET legacy_table = 'dispatch_record', legacy_id = c.legacy_record_id, message_id = m.id
FROM messages m
WHERE c.legacy_table IS NULL AND m.legacy_record_id = c.legacy_record_id AND m.content = c.content;
UPDATE case_messages SET legacy_table = 'dispatch_comment', legacy_id = coalesce(legacy_message_id, legacy_record_id)
WHERE legacy_table IS NULL AND coalesce(legacy_message_id, legacy_record_id) IS NOT NULL;
UPDATE case_files c SET legacy_file_id = f.legacy_file_id
FROM files f
WHERE f.id = c.file_id AND c.legacy_file_id IS DISTINCT FROM f.legacy_file_id;
UPDATE message_attachments a SET legacy_file_id = f.legacy_file_id
FROM files f
WHERE f.id = a.file_id AND a.legacy_attachment_id IS NULL AND a.legacy_file_id IS DISTINCT FROM f.legacy_file_id;

-- A transaction of the source may bring a child before its parent.
DO $$
DECLARE
    fk record;
BEGIN
    FOR fk IN
        SELECT conrelid::regclass AS tab, conname FROM pg_constraint
        WHERE contype = 'f' AND connamespace = 'public'::regnamespace AND NOT condeferrable
    LOOP
        EXECUTE format('ALTER TABLE %s ALTER CONSTRAINT %I DEFERRABLE INITIALLY IMMEDIATE', fk.tab, fk.conname);
    END LOOP;
END $$;

-- The names that the practice-centric documents use.
CREATE OR REPLACE VIEW practices AS
    SELECT id, legacy_office_id, name, address, phone, email, is_active, metadata, created_at, updated_at FROM offices;
CREATE OR REPLACE VIEW practice_members AS
    SELECT m.id, m.office_id AS practice_id, d.profile_id, m.role::text AS role, m.is_active, m.created_at, m.updated_at
    FROM doctor_offices m JOIN doctors d ON d.id = m.doctor_id;
CREATE OR REPLACE VIEW workflow_templates AS
    SELECT id, practice_id, task_name AS name, case_type, steps, is_active, created_at, updated_at FROM templates;
