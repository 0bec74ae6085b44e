-- The target of the dispatch estate as deployed, before pgrekey: what runs of one-off scripts left there. Random UUIDs,
-- legacy keys that are not unique, references that may be missing. upgrade-1.sql to upgrade-3.sql lead from here to the
-- adopted schema. For tests and the quickstart; in production it stands already.

-- Types
CREATE TYPE profile_type AS ENUM (
    'patient', 'doctor', 'technician', 'master', 'sales_person', 'support_agent', 'admin', 'client'
);
CREATE TYPE gender AS ENUM ('male', 'female', 'other', 'unknown');
CREATE TYPE employment_status AS ENUM ('active', 'inactive', 'terminated', 'on_leave');
CREATE TYPE technician_type AS ENUM (
    'sectioning', 'quality_control', 'designing', 'manufacturing', 'master', 'remote'
);
CREATE TYPE patient_status AS ENUM (
    'active', 'consultation', 'treatment_plan', 'in_treatment', 'retention', 'completed', 'on_hold', 'cancelled',
    'transferred', 'archived', 'prospect'
);
CREATE TYPE course_type AS ENUM ('main', 'refinement', 'any', 'replacement', 'invoice', 'merchandise');
CREATE TYPE order_status AS ENUM (
    'no_product', 'submitted', 'approved', 'in_production', 'shipped', 'add_plan', 'on_hold', 'cancelled'
);
CREATE TYPE case_state AS ENUM (
    'submitted', 'under_review', 'planning', 'approved', 'in_production', 'quality_check', 'shipped', 'delivered',
    'completed', 'on_hold', 'cancelled', 'treatment_active', 'case_closed'
);
CREATE TYPE case_status AS ENUM (
    'consultation', 'diagnosis', 'treatment_plan', 'active', 'refinement', 'retention', 'completed', 'cancelled',
    'on_hold', 'transferred', 'revision'
);
CREATE TYPE project_type AS ENUM (
    'treatment_plan', 'stl_upper', 'stl_lower', 'clinical_photo', 'xray', 'cbct_scan', 'simulation', 'aligner_design',
    'document', 'other'
);
CREATE TYPE project_status AS ENUM (
    'draft', 'in_review', 'approved', 'in_progress', 'completed', 'archived', 'deleted'
);
CREATE TYPE payment_status AS ENUM ('pending', 'processing', 'completed', 'failed', 'refunded', 'cancelled');

-- People and places
CREATE TABLE offices (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(), legacy_office_id int UNIQUE, name text NOT NULL, address text,
    apartment text, city text, state text, zip_code text, country text NOT NULL DEFAULT 'US', phone text, email text,
    tax_rate numeric(5,4) CHECK (tax_rate < 1), is_active boolean NOT NULL DEFAULT true,
    created_at timestamptz NOT NULL DEFAULT now(), updated_at timestamptz NOT NULL DEFAULT now(),
    metadata jsonb DEFAULT '{}'
);
CREATE TABLE profiles (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(), legacy_user_id int UNIQUE, legacy_patient_id int,
    practice_id uuid REFERENCES offices, profile_type profile_type NOT NULL, email text CHECK (email LIKE '%_@_%'),
    first_name text NOT NULL, last_name text NOT NULL, phone text, username text, password_hash text,
    date_of_birth date, gender gender, is_active boolean DEFAULT true, is_verified boolean DEFAULT false,
    archived boolean DEFAULT false, suspended boolean DEFAULT false, patient_suffix varchar(10), insurance_info jsonb,
    medical_history jsonb, last_login_at timestamptz, created_at timestamptz DEFAULT now(),
    updated_at timestamptz DEFAULT now(), metadata jsonb DEFAULT '{}'
);
CREATE TABLE doctors (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(), profile_id uuid REFERENCES profiles, legacy_user_id int UNIQUE,
    legacy_doctor_id int, doctor_number text UNIQUE, license_number text, npi_number text,
    specialty text DEFAULT 'orthodontics', board_certifications jsonb DEFAULT '[]', education jsonb DEFAULT '{}',
    years_experience int, primary_office_id uuid REFERENCES offices, practice_type text,
    status text NOT NULL DEFAULT 'active', is_accepting_patients boolean DEFAULT true, max_patient_load int DEFAULT 500,
    bio text, specialties jsonb DEFAULT '["orthodontics"]', languages_spoken jsonb DEFAULT '["English"]',
    professional_memberships jsonb DEFAULT '[]', consultation_duration_minutes int DEFAULT 60,
    follow_up_duration_minutes int DEFAULT 30, working_hours jsonb DEFAULT '{}', consultation_fee numeric(12,2),
    accepts_insurance boolean DEFAULT true, payment_terms jsonb DEFAULT '{}', licensed_since date,
    joined_practice_at timestamptz, created_at timestamptz DEFAULT now(), updated_at timestamptz DEFAULT now(),
    metadata jsonb DEFAULT '{}'
);
CREATE TABLE patients (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(), profile_id uuid REFERENCES profiles, legacy_patient_id int,
    legacy_user_id int, legacy_doctor_id int, patient_number text UNIQUE NOT NULL, first_name text, last_name text,
    email text, suffix varchar(10), sex gender, date_of_birth date, primary_doctor_id uuid REFERENCES doctors,
    assigned_office_id uuid REFERENCES offices, status patient_status DEFAULT 'active', archived boolean DEFAULT false,
    suspended boolean DEFAULT false, schemes jsonb, enrolled_at timestamptz, created_at timestamptz DEFAULT now(),
    updated_at timestamptz DEFAULT now(), metadata jsonb DEFAULT '{}'
);
CREATE TABLE technicians (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(), profile_id uuid REFERENCES profiles, user_id int,
    legacy_user_id int UNIQUE, legacy_technician_id int, employee_id text UNIQUE, first_name text, last_name text,
    email text, phone text, specialty text, status employment_status NOT NULL DEFAULT 'active',
    is_active boolean NOT NULL DEFAULT true, hire_date date, created_at timestamptz DEFAULT now(),
    updated_at timestamptz DEFAULT now(), metadata jsonb DEFAULT '{}'
);
CREATE TABLE roles (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(), legacy_id int UNIQUE, name text NOT NULL, description text,
    is_active boolean DEFAULT true, created_at timestamptz DEFAULT now(), updated_at timestamptz DEFAULT now(),
    metadata jsonb DEFAULT '{}'
);
CREATE TABLE technician_roles (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(), legacy_role_id int UNIQUE, technician_id uuid REFERENCES technicians,
    role_type technician_type NOT NULL, role_name text NOT NULL, abbreviation text, is_active boolean DEFAULT true,
    assigned_at timestamptz DEFAULT now(), metadata jsonb DEFAULT '{}'
);
CREATE TABLE role_permissions (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(), role_id uuid NOT NULL REFERENCES roles, permission text NOT NULL,
    resource text NOT NULL, legacy_junction_id int, legacy_role_id int, legacy_permission_id int,
    is_active boolean DEFAULT true, created_at timestamptz DEFAULT now(), metadata jsonb DEFAULT '{}'
);
CREATE TABLE doctor_offices (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(), doctor_id uuid NOT NULL REFERENCES doctors,
    office_id uuid NOT NULL REFERENCES offices, role text DEFAULT 'doctor', is_primary boolean DEFAULT false,
    start_date date, end_date date, created_at timestamptz DEFAULT now(), updated_at timestamptz DEFAULT now(),
    UNIQUE (doctor_id, office_id)
);
CREATE TABLE categories (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(), legacy_category_id int, name text NOT NULL,
    parent_id uuid REFERENCES categories, display_order int DEFAULT 0
);
CREATE TABLE products (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(), legacy_product_id int, name text NOT NULL, description text,
    base_price numeric(12,2) NOT NULL DEFAULT 0, product_type text, is_free boolean DEFAULT false,
    deleted boolean DEFAULT false, metadata jsonb DEFAULT '{}'
);

-- Clinical
CREATE TABLE cases (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(), legacy_patient_id int, patient_id uuid REFERENCES patients,
    primary_doctor_id uuid REFERENCES doctors, office_id uuid REFERENCES offices, case_number text UNIQUE NOT NULL,
    status case_status, deleted boolean DEFAULT false, created_at timestamptz DEFAULT now(),
    updated_at timestamptz DEFAULT now(), metadata jsonb DEFAULT '{}'
);
CREATE TABLE orders (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(), legacy_instruction_id int, order_number text NOT NULL,
    patient_id uuid NOT NULL REFERENCES patients, doctor_id uuid NOT NULL REFERENCES doctors,
    office_id uuid REFERENCES offices, course_type course_type, status order_status NOT NULL DEFAULT 'no_product',
    amount numeric(12,2), notes text, complaint text, exports jsonb, submitted_at timestamptz, approved_at timestamptz,
    shipped_at timestamptz, deleted boolean DEFAULT false, deleted_at timestamptz, created_at timestamptz DEFAULT now(),
    updated_at timestamptz DEFAULT now(), metadata jsonb DEFAULT '{}'
);
CREATE TABLE order_cases (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(), order_id uuid NOT NULL REFERENCES orders,
    case_id uuid NOT NULL REFERENCES cases, relationship_type text NOT NULL DEFAULT 'primary',
    is_active boolean DEFAULT true, created_at timestamptz DEFAULT now(), UNIQUE (order_id, case_id)
);
CREATE TABLE jaws (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(), legacy_jaw_id int UNIQUE, order_id uuid NOT NULL REFERENCES orders,
    product_id uuid REFERENCES products, jaw_type text NOT NULL CHECK (jaw_type IN ('upper', 'lower')),
    labial boolean DEFAULT false, bond_teeth char(16), extract_teeth char(16), replacement_reason text,
    created_at timestamptz DEFAULT now(), updated_at timestamptz DEFAULT now(), metadata jsonb DEFAULT '{}'
);
CREATE TABLE projects (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(), legacy_project_id int, legacy_plan_id int,
    order_id uuid REFERENCES orders, creator_id uuid NOT NULL REFERENCES profiles, name text NOT NULL,
    project_type project_type NOT NULL, status project_status NOT NULL DEFAULT 'draft', file_uid uuid, file_size bigint,
    storage_path text, mime_type text, is_public boolean DEFAULT false, plan_number int, is_original boolean,
    plan_notes text, created_at timestamptz DEFAULT now(), updated_at timestamptz DEFAULT now(),
    metadata jsonb DEFAULT '{}'
);
CREATE TABLE treatment_plans (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(), legacy_plan_id int UNIQUE, project_id uuid REFERENCES projects,
    order_id uuid REFERENCES orders, patient_id uuid REFERENCES patients, doctor_id uuid REFERENCES doctors,
    plan_number int, plan_name text, plan_notes text, is_original boolean DEFAULT false,
    treatment_type text DEFAULT 'initial_treatment', revision_count int DEFAULT 0, created_at timestamptz DEFAULT now(),
    updated_at timestamptz DEFAULT now(), metadata jsonb DEFAULT '{}'
);
CREATE TABLE order_states (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(), legacy_state_id int UNIQUE NOT NULL,
    order_id uuid NOT NULL REFERENCES orders, status_code int NOT NULL, status_name text NOT NULL,
    is_active boolean NOT NULL, changed_by uuid REFERENCES profiles, changed_at timestamptz NOT NULL,
    legacy_instruction_id int, legacy_actor_id int, notes text, metadata jsonb DEFAULT '{}'
);
CREATE TABLE case_states (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(), legacy_state_id int, case_id uuid NOT NULL REFERENCES cases,
    previous_state case_state, current_state case_state NOT NULL, changed_by_id uuid REFERENCES profiles,
    automated boolean DEFAULT false, notes text, changed_at timestamptz NOT NULL, metadata jsonb DEFAULT '{}'
);

-- Files and communication
CREATE TABLE files (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(), legacy_file_id int UNIQUE, file_uid uuid, filename text NOT NULL,
    original_name text, extension text, file_type text, mime_type text, size bigint DEFAULT 0,
    order_id uuid REFERENCES orders, project_id uuid REFERENCES projects, uploaded_by uuid REFERENCES profiles,
    storage_path text NOT NULL, storage_provider text, checksum text, status text, uploaded_at timestamptz NOT NULL,
    metadata jsonb DEFAULT '{}'
);
CREATE TABLE case_files (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(), case_id uuid NOT NULL REFERENCES cases,
    file_id uuid NOT NULL REFERENCES files, file_purpose text, display_order int DEFAULT 0, notes text,
    created_by uuid REFERENCES profiles, created_at timestamptz DEFAULT now(), metadata jsonb DEFAULT '{}',
    UNIQUE (case_id, file_id)
);
CREATE TABLE messages (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(), legacy_record_id int, message_type text NOT NULL, title text,
    subject text, content text NOT NULL, sender_id uuid REFERENCES profiles, recipient_type text NOT NULL,
    recipient_id uuid, is_read boolean DEFAULT false, is_archived boolean DEFAULT false, priority int, group_id int,
    is_public boolean, legacy_target_type_id int, legacy_target_id int, legacy_author_id int,
    created_at timestamptz NOT NULL, updated_at timestamptz DEFAULT now(), metadata jsonb DEFAULT '{}'
);
CREATE TABLE case_messages (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(), case_id uuid NOT NULL REFERENCES cases, legacy_record_id int,
    legacy_message_id int, sender_id uuid REFERENCES profiles, recipient_id uuid REFERENCES profiles,
    message_type text NOT NULL, subject text, content text NOT NULL, priority int DEFAULT 1,
    is_urgent boolean DEFAULT false, requires_response boolean DEFAULT false, is_confidential boolean DEFAULT false,
    sent_at timestamptz NOT NULL, created_at timestamptz NOT NULL DEFAULT now(), metadata jsonb DEFAULT '{}'
);
CREATE TABLE comments (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(), legacy_table text, legacy_id int, comment_type text NOT NULL,
    author_id uuid REFERENCES profiles, parent_comment_id uuid REFERENCES comments, content text NOT NULL,
    created_at timestamptz NOT NULL, metadata jsonb DEFAULT '{}'
);
CREATE TABLE treatment_discussions (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(), comment_id uuid NOT NULL UNIQUE REFERENCES comments,
    treatment_plan_id uuid NOT NULL REFERENCES treatment_plans, legacy_comment_id int,
    is_visible_to_patient boolean DEFAULT false, created_at timestamptz DEFAULT now()
);
CREATE TABLE message_attachments (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(), message_id uuid NOT NULL REFERENCES messages,
    file_id uuid NOT NULL REFERENCES files, attachment_type text NOT NULL DEFAULT 'file', legacy_attachment_id int,
    legacy_record_id int, legacy_file_id int, created_at timestamptz DEFAULT now(), UNIQUE (message_id, file_id)
);
CREATE TABLE system_messages (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(), legacy_record_id int, message_type text NOT NULL, message_code text,
    message text, message_data jsonb, order_id uuid REFERENCES orders, barcode text, tracking_number text, carrier text,
    source_system text DEFAULT 'legacy', processed boolean DEFAULT false, processed_at timestamptz,
    is_active boolean DEFAULT true, created_at timestamptz NOT NULL DEFAULT now(), updated_at timestamptz DEFAULT now()
);

-- Money
CREATE TABLE payments (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(), legacy_payment_id int UNIQUE,
    order_id uuid NOT NULL REFERENCES orders, payment_number text, amount numeric(12,2) NOT NULL, tax_amount numeric(12,2) DEFAULT 0,
    total_amount numeric(12,2) NOT NULL, currency varchar(3) DEFAULT 'USD',
    status payment_status NOT NULL DEFAULT 'pending',
    payment_method text CHECK (payment_method IN ('card', 'check', 'insurance', 'cash', 'other')),
    is_paid boolean DEFAULT false, is_cancelled boolean DEFAULT false, is_refunded boolean DEFAULT false,
    payment_date timestamptz, created_at timestamptz DEFAULT now(), updated_at timestamptz DEFAULT now(),
    metadata jsonb DEFAULT '{}'
);
CREATE TABLE operations (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(), legacy_operation_id int UNIQUE,
    case_id uuid NOT NULL REFERENCES cases, operation_type text NOT NULL, amount numeric(12,2) NOT NULL, status text NOT NULL DEFAULT 'completed',
    operation_data jsonb DEFAULT '{}'
);
CREATE TABLE purchases (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(), legacy_purchase_id int, order_id uuid REFERENCES orders,
    product_id uuid REFERENCES products, quantity int DEFAULT 1, used_quantity int, custom_price numeric(12,2),
    unit_price numeric(12,2) NOT NULL, total_amount numeric(12,2) NOT NULL, description text, purchased_at timestamptz
);

-- Workflow
CREATE TABLE templates (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(), legacy_template_id int, task_name text NOT NULL, action_name text,
    text_name text, course_type course_type, is_separate boolean DEFAULT false, function_type text,
    file_extensions text, duration_minutes int DEFAULT 0, status_trigger order_status, category_id uuid REFERENCES categories,
    is_predefined boolean DEFAULT false, is_readonly boolean DEFAULT false, created_at timestamptz DEFAULT now(),
    updated_at timestamptz DEFAULT now(), metadata jsonb DEFAULT '{}'
);
CREATE TABLE template_view_groups (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(), template_id uuid NOT NULL REFERENCES templates, template_name text,
    group_name text NOT NULL, access_level text NOT NULL DEFAULT 'view', legacy_junction_id int, legacy_template_id int,
    legacy_group_id int, is_active boolean DEFAULT true
);
CREATE TABLE template_view_roles (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(), template_id uuid NOT NULL REFERENCES templates,
    role_id uuid REFERENCES roles, template_name text, role_name text NOT NULL,
    permission_level text NOT NULL DEFAULT 'view', legacy_junction_id int, legacy_template_id int, legacy_role_id int,
    is_active boolean DEFAULT true
);

-- Not in the adopted schema: nobody touches them.
CREATE TABLE global_settings (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(), name text UNIQUE NOT NULL, value jsonb
);
CREATE TABLE patient_events (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(), patient_id uuid NOT NULL REFERENCES patients, event text NOT NULL,
    happened_at timestamptz NOT NULL DEFAULT now()
);
