-- The quickstart's own target: UUID keys, enforced references, enums, jsonb.
CREATE TYPE order_status AS ENUM ('draft', 'submitted', 'approved', 'in_production', 'shipped', 'planning');

CREATE TABLE offices (
    id uuid PRIMARY KEY,
    legacy_office_id int UNIQUE NOT NULL,
    name text NOT NULL,
    address text,
    city text,
    state text,
    zip_code text,
    country text,
    tax_rate numeric(8,4) NOT NULL,
    is_active boolean NOT NULL,
    metadata jsonb NOT NULL DEFAULT '{}'
);
CREATE TABLE profiles (
    id uuid PRIMARY KEY,
    legacy_user_id int UNIQUE NOT NULL,
    username text NOT NULL,
    full_name text NOT NULL,
    email text,
    is_active boolean NOT NULL,
    created_at timestamptz NOT NULL,
    metadata jsonb NOT NULL DEFAULT '{}'
);
CREATE TABLE patients (
    id uuid PRIMARY KEY,
    legacy_patient_id int UNIQUE NOT NULL,
    profile_id uuid NOT NULL REFERENCES profiles,
    doctor_id uuid REFERENCES profiles ON DELETE SET NULL,
    office_id uuid REFERENCES offices ON DELETE SET NULL,
    birthdate date,
    sex text NOT NULL,
    archived boolean NOT NULL,
    suffix text,
    schemes jsonb,
    updated_at timestamptz,
    metadata jsonb NOT NULL DEFAULT '{}'
);
CREATE TABLE orders (
    id uuid PRIMARY KEY,
    legacy_instruction_id int UNIQUE NOT NULL,
    patient_id uuid NOT NULL REFERENCES patients,
    status order_status NOT NULL,
    price numeric(12,2),
    notes text,
    exports jsonb,
    submitted_at timestamptz,
    metadata jsonb NOT NULL DEFAULT '{}'
);
CREATE TABLE payments (
    id uuid PRIMARY KEY,
    legacy_payment_id int UNIQUE NOT NULL,
    order_id uuid REFERENCES orders ON DELETE SET NULL,
    doctor_id uuid REFERENCES profiles ON DELETE SET NULL,
    office_id uuid REFERENCES offices ON DELETE SET NULL,
    status text NOT NULL CHECK (status IN ('canceled', 'completed', 'pending')),
    tax numeric(12,2) NOT NULL,
    subtotal numeric(12,2) NOT NULL,
    total numeric(12,2) NOT NULL,
    paid numeric(12,2) NOT NULL,
    installments jsonb,
    made_at timestamptz
);
CREATE TABLE system_messages (
    id uuid PRIMARY KEY,
    legacy_notification_id int UNIQUE NOT NULL,
    recipient_id uuid NOT NULL REFERENCES profiles,
    template text NOT NULL,
    message_data jsonb NOT NULL,
    is_read boolean NOT NULL,
    created_at timestamptz NOT NULL,
    note text DEFAULT 'belongs to the application' -- no rule owns it: upserts leave it alone
);
CREATE INDEX ON patients (profile_id);
CREATE INDEX ON patients (doctor_id);
CREATE INDEX ON patients (office_id);
CREATE INDEX ON orders (patient_id);
CREATE INDEX ON payments (order_id);
CREATE INDEX ON payments (doctor_id);
CREATE INDEX ON payments (office_id);
CREATE INDEX ON system_messages (recipient_id);
