-- The legacy side of the dispatch estate: a Django application's tables, as far as they are known. Keys are integers
-- from a sequence, named id everywhere. JSON stands in text columns, so nothing says that it parses. References without
-- REFERENCES are not enforced there, and orphans exist. For tests and the quickstart; in production it stands already.

CREATE TABLE auth_group (
    id serial PRIMARY KEY, name varchar(150) UNIQUE NOT NULL
);
CREATE TABLE auth_user (
    id serial PRIMARY KEY, password varchar(128) NOT NULL DEFAULT '', last_login timestamptz,
    is_superuser boolean NOT NULL DEFAULT false, username varchar(150) UNIQUE NOT NULL,
    first_name varchar(150) NOT NULL DEFAULT '', last_name varchar(150) NOT NULL DEFAULT '',
    email varchar(254) NOT NULL DEFAULT '', is_staff boolean NOT NULL DEFAULT false,
    is_active boolean NOT NULL DEFAULT true, date_joined timestamptz NOT NULL DEFAULT now()
);
CREATE TABLE auth_user_groups (
    id serial PRIMARY KEY, user_id int NOT NULL REFERENCES auth_user, group_id int NOT NULL REFERENCES auth_group,
    UNIQUE(user_id, group_id)
);
CREATE TABLE django_content_type (
    id serial PRIMARY KEY, app_label varchar(100) NOT NULL, model varchar(100) NOT NULL, UNIQUE(app_label, model)
);
CREATE TABLE auth_permission (
    id serial PRIMARY KEY, name varchar(255) NOT NULL, content_type_id int NOT NULL REFERENCES django_content_type,
    codename varchar(100) NOT NULL
);
CREATE TABLE dispatch_office (
    id serial PRIMARY KEY, name varchar(255), address varchar(255), apt varchar(64), city varchar(128),
    state varchar(64), zip varchar(32), country varchar(64), phone varchar(64),
    tax_rate numeric(8,4) NOT NULL DEFAULT 0, valid boolean NOT NULL DEFAULT true, sq_customer_id varchar(64),
    emails boolean NOT NULL DEFAULT true
);
CREATE TABLE dispatch_office_doctors (
    id serial PRIMARY KEY, office_id int NOT NULL REFERENCES dispatch_office,
    user_id int NOT NULL REFERENCES auth_user, UNIQUE(office_id, user_id)
);
CREATE TABLE dispatch_usersetting (
    id serial PRIMARY KEY, user_id int NOT NULL REFERENCES auth_user, emails boolean NOT NULL DEFAULT true,
    require_2fa boolean
);
CREATE TABLE dispatch_doctorsetting (
    id serial PRIMARY KEY, user_id int NOT NULL REFERENCES auth_user, clinical_preferences text,
    sq_customer_id varchar(64), promised_payment numeric(12,2), credit numeric(12,2), tier_finish date, tier_type int,
    installment_payments boolean, baa_agreed_at timestamptz, eula_agreed_at timestamptz, company_account boolean
);
CREATE TABLE dispatch_patient (
    id serial PRIMARY KEY, user_id int NOT NULL REFERENCES auth_user, doctor_id int, office_id int, birthdate date,
    sex int, status int NOT NULL DEFAULT 1, archived boolean NOT NULL DEFAULT false,
    suspended boolean NOT NULL DEFAULT false, suffix varchar(10), schemes text, submitted_at timestamptz,
    updated_at timestamptz
);
CREATE TABLE dispatch_course (
    id serial PRIMARY KEY, name varchar(128) NOT NULL, type int, customization text
);
CREATE TABLE dispatch_category (
    id serial PRIMARY KEY, name varchar(128) NOT NULL, parent_id int REFERENCES dispatch_category
);
CREATE TABLE dispatch_product (
    id serial PRIMARY KEY, name varchar(255), description text, free boolean NOT NULL DEFAULT false,
    deleted boolean NOT NULL DEFAULT false, customization text, type int, substitute boolean NOT NULL DEFAULT false,
    course_id int REFERENCES dispatch_course
);
CREATE TABLE dispatch_jaw (
    id serial PRIMARY KEY, bond_teeth char(16) NOT NULL DEFAULT '0000000000000000',
    extract_teeth char(16) NOT NULL DEFAULT '0000000000000000', reason int,
    product_id int REFERENCES dispatch_product, labial boolean NOT NULL DEFAULT false
);
CREATE TABLE dispatch_instruction (
    id serial PRIMARY KEY, patient_id int NOT NULL, course_id int REFERENCES dispatch_course, "order" int, model int,
    scanner int, upper_jaw_id int REFERENCES dispatch_jaw, lower_jaw_id int REFERENCES dispatch_jaw, notes text,
    scanner_notes text, exports text, conditions text NOT NULL DEFAULT '', complaint text NOT NULL DEFAULT '',
    objective text NOT NULL DEFAULT '', price numeric(12,2), status int NOT NULL DEFAULT 0,
    cbct boolean NOT NULL DEFAULT false, accept_extraction boolean, comprehensive boolean,
    deleted boolean NOT NULL DEFAULT false, suffix varchar(10), submitted_at timestamptz, updated_at timestamptz
);
CREATE TABLE dispatch_project (
    id serial PRIMARY KEY, uid uuid UNIQUE NOT NULL, name varchar(255) NOT NULL DEFAULT '',
    size bigint NOT NULL DEFAULT 0, type int NOT NULL DEFAULT 0, status int NOT NULL DEFAULT 0, creator_id int,
    created_at timestamptz NOT NULL DEFAULT now(), public boolean NOT NULL DEFAULT false
);
CREATE TABLE dispatch_plan (
    id serial PRIMARY KEY, instruction_id int, project_id int, notes text, number int,
    name varchar(255) NOT NULL DEFAULT '', original boolean NOT NULL DEFAULT false
);
CREATE TABLE dispatch_comment (
    id serial PRIMARY KEY, created_at timestamptz NOT NULL DEFAULT now(), text text, author_id int,
    plan_id int NOT NULL
);
CREATE TABLE dispatch_note (
    id serial PRIMARY KEY, created_at timestamptz NOT NULL DEFAULT now(), text text, author_id int, doctor_id int
);
CREATE TABLE dispatch_state (
    id serial PRIMARY KEY, status int NOT NULL, "on" boolean NOT NULL DEFAULT true, changed_at timestamptz NOT NULL,
    actor_id int, instruction_id int
);
CREATE TABLE dispatch_record (
    id serial PRIMARY KEY, target_id int, target_type_id int REFERENCES django_content_type, type int,
    created_at timestamptz NOT NULL DEFAULT now(), text text NOT NULL, author_id int, group_id int, public boolean
);
CREATE TABLE dispatch_file (
    id serial PRIMARY KEY, uid uuid NOT NULL, name varchar(255), ext varchar(16), size bigint NOT NULL DEFAULT 0,
    type int NOT NULL DEFAULT 0, instruction_id int, record_id int, product_id int, parameters text, status int,
    description text, created_at timestamptz NOT NULL DEFAULT now()
);
CREATE TABLE dispatch_record_attachments (
    id serial PRIMARY KEY, record_id int NOT NULL, file_id int NOT NULL, UNIQUE(record_id, file_id)
);
CREATE TABLE dispatch_order (
    id serial PRIMARY KEY, doctor_id int, course_id int, status int, custom_price numeric(12,2)
);
CREATE TABLE dispatch_payment (
    id serial PRIMARY KEY, made_at timestamptz, instruction_id int, order_id int, doctor_id int, office_id int,
    free boolean NOT NULL DEFAULT false, canceled boolean NOT NULL DEFAULT false, paid boolean NOT NULL DEFAULT false,
    netsuite boolean NOT NULL DEFAULT false, tax_rate numeric(8,4) NOT NULL DEFAULT 0,
    tax_value numeric(12,2) NOT NULL DEFAULT 0, subtotal_price numeric(12,2) NOT NULL DEFAULT 0,
    total_price numeric(12,2) NOT NULL DEFAULT 0, paid_price numeric(12,2) NOT NULL DEFAULT 0,
    used_credit numeric(12,2) NOT NULL DEFAULT 0, additional_price numeric(12,2) NOT NULL DEFAULT 0,
    custom_price numeric(12,2), installments text
);
CREATE TABLE dispatch_operation (
    id serial PRIMARY KEY, type int, made_at timestamptz, price numeric(12,2) NOT NULL, sq_order_id varchar(64),
    sq_payment_id varchar(64), sq_refund_id varchar(64), card_brand varchar(32), card_bin varchar(8),
    card_last varchar(4), office_card boolean NOT NULL DEFAULT false, payment_id int, attempts int NOT NULL DEFAULT 0
);
CREATE TABLE dispatch_purchase (
    id serial PRIMARY KEY, order_id int, product_id int, count int, used int, custom_price numeric(12,2),
    description text
);
CREATE TABLE dispatch_notification (
    id serial PRIMARY KEY, created_at timestamptz NOT NULL DEFAULT now(), sender varchar(255),
    template_name varchar(255) NOT NULL, template_context text NOT NULL DEFAULT '{}',
    read boolean NOT NULL DEFAULT false, item_id int, item_type_id int REFERENCES django_content_type,
    recipient_id int NOT NULL, sent boolean NOT NULL DEFAULT false, send boolean NOT NULL DEFAULT true
);
CREATE TABLE dispatch_agent (
    id serial PRIMARY KEY, name varchar(128) NOT NULL, address varchar(128) NOT NULL, port int NOT NULL,
    cpu int NOT NULL, memory int NOT NULL, memory_used int NOT NULL
);
CREATE TABLE dispatch_instance (
    id serial PRIMARY KEY, port int NOT NULL, queue int NOT NULL, run_at timestamptz NOT NULL,
    agent_id int REFERENCES dispatch_agent, opener_id int, project_id int NOT NULL
);
CREATE TABLE dispatch_role (
    id serial PRIMARY KEY, name varchar(128) NOT NULL, abbrev varchar(16), type int, "order" int, user_id int,
    group_id int
);
CREATE TABLE dispatch_role_permissions (
    id serial PRIMARY KEY, role_id int NOT NULL REFERENCES dispatch_role,
    permission_id int NOT NULL REFERENCES auth_permission
);
CREATE TABLE dispatch_template (
    id serial PRIMARY KEY, task_name varchar(255), action_name varchar(255), text_name varchar(255), function int,
    status int, duration int, category_id int REFERENCES dispatch_category, course_id int REFERENCES dispatch_course,
    predefined boolean NOT NULL DEFAULT false, read_only boolean NOT NULL DEFAULT false,
    separate boolean NOT NULL DEFAULT false, extensions varchar(255), alerts text
);
CREATE TABLE dispatch_template_view_groups (
    id serial PRIMARY KEY, template_id int NOT NULL REFERENCES dispatch_template,
    group_id int NOT NULL REFERENCES auth_group, UNIQUE(template_id, group_id)
);
CREATE TABLE dispatch_template_view_roles (
    id serial PRIMARY KEY, template_id int NOT NULL REFERENCES dispatch_template,
    role_id int NOT NULL REFERENCES dispatch_role, UNIQUE(template_id, role_id)
);
CREATE TABLE dispatch_template_predecessors (
    id serial PRIMARY KEY, from_template_id int NOT NULL REFERENCES dispatch_template,
    to_template_id int NOT NULL REFERENCES dispatch_template, UNIQUE(from_template_id, to_template_id)
);
CREATE TABLE dispatch_ware (
    id serial PRIMARY KEY, payment_id int, product_id int, name varchar(255), count int NOT NULL DEFAULT 1,
    description text, free boolean NOT NULL DEFAULT false, global_price numeric(12,2), doctor_price numeric(12,2),
    base_price numeric(12,2), discount_percent int, discount_value numeric(12,2), discount_price numeric(12,2),
    discount_reason varchar(255), total_price numeric(12,2)
);
CREATE TABLE dispatch_task (
    id serial PRIMARY KEY, checked boolean NOT NULL DEFAULT false, done_at timestamptz, text text, file_id int,
    template_id int, plan_id int, instruction_id int, actor_id int, jaw int, order_id int
);
CREATE TABLE dispatch_bracket (
    id serial PRIMARY KEY, name varchar(255), project_id int, type int
);
CREATE TABLE dispatch_offer (
    id serial PRIMARY KEY, price_both numeric(12,2), price_upper numeric(12,2), price_lower numeric(12,2),
    doctor_id int, product_id int
);
CREATE TABLE dispatch_discount (
    id serial PRIMARY KEY, percent int, reason varchar(255), count int, start date, finish date, total boolean,
    used int, offer_id int
);
CREATE TABLE auth_group_permissions (
    id serial PRIMARY KEY, group_id int NOT NULL REFERENCES auth_group,
    permission_id int NOT NULL REFERENCES auth_permission, UNIQUE(group_id, permission_id)
);
CREATE TABLE dispatch_doctorsetting_masters (
    id serial PRIMARY KEY, doctorsetting_id int NOT NULL REFERENCES dispatch_doctorsetting, user_id int NOT NULL
);
CREATE TABLE dispatch_doctorsetting_sales (
    id serial PRIMARY KEY, doctorsetting_id int NOT NULL REFERENCES dispatch_doctorsetting, user_id int NOT NULL
);
CREATE TABLE dispatch_record_roles (
    id serial PRIMARY KEY, record_id int NOT NULL, role_id int NOT NULL REFERENCES dispatch_role
);
CREATE TABLE dispatch_template_edit_roles (
    id serial PRIMARY KEY, template_id int NOT NULL REFERENCES dispatch_template,
    role_id int NOT NULL REFERENCES dispatch_role, UNIQUE(template_id, role_id)
);
CREATE TABLE dispatch_template_products (
    id serial PRIMARY KEY, template_id int NOT NULL REFERENCES dispatch_template,
    product_id int NOT NULL REFERENCES dispatch_product, UNIQUE(template_id, product_id)
);

-- What must never leave the legacy side: a provider's secrets, mail confirmations, one-time passwords, sessions.
CREATE TABLE dispatch_globalsetting (
    id serial PRIMARY KEY, setting varchar(128) UNIQUE NOT NULL, value text NOT NULL DEFAULT ''
);
CREATE TABLE account_emailaddress (
    id serial PRIMARY KEY, user_id int NOT NULL REFERENCES auth_user, email varchar(254) NOT NULL,
    verified boolean NOT NULL DEFAULT false, "primary" boolean NOT NULL DEFAULT false
);
CREATE TABLE account_emailconfirmation (
    id serial PRIMARY KEY, email_address_id int NOT NULL REFERENCES account_emailaddress, created timestamptz NOT NULL,
    sent timestamptz, key varchar(64) UNIQUE NOT NULL
);
CREATE TABLE otp_totp_totpdevice (
    id serial PRIMARY KEY, user_id int NOT NULL REFERENCES auth_user, name varchar(64) NOT NULL DEFAULT '',
    confirmed boolean NOT NULL DEFAULT true, key varchar(80) NOT NULL, last_t bigint NOT NULL DEFAULT -1
);
CREATE TABLE django_session (
    session_key varchar(40) PRIMARY KEY, session_data text NOT NULL, expire_date timestamptz NOT NULL
);
