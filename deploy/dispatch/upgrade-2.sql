-- Second step: after pgrekey has adopted the rows that stood there. Doubles of one legacy key are one row now, so
-- legacy keys can be unique. May be run again at any time, also while the engine runs.
\set ON_ERROR_STOP on

CREATE UNIQUE INDEX IF NOT EXISTS offices_legacy_office_id_key ON offices (legacy_office_id);
CREATE UNIQUE INDEX IF NOT EXISTS profiles_legacy_user_id_key ON profiles (legacy_user_id);
CREATE UNIQUE INDEX IF NOT EXISTS profiles_legacy_patient_id_key ON profiles (legacy_patient_id);
CREATE UNIQUE INDEX IF NOT EXISTS doctors_legacy_user_id_key ON doctors (legacy_user_id);
CREATE UNIQUE INDEX IF NOT EXISTS doctors_profile_id_key ON doctors (profile_id);
CREATE UNIQUE INDEX IF NOT EXISTS patients_legacy_patient_id_key ON patients (legacy_patient_id);
CREATE UNIQUE INDEX IF NOT EXISTS patients_profile_id_key ON patients (profile_id);
CREATE UNIQUE INDEX IF NOT EXISTS technicians_legacy_user_id_key ON technicians (legacy_user_id);
CREATE UNIQUE INDEX IF NOT EXISTS technicians_legacy_technician_id_key ON technicians (legacy_technician_id);
CREATE UNIQUE INDEX IF NOT EXISTS technicians_profile_id_key ON technicians (profile_id);
CREATE UNIQUE INDEX IF NOT EXISTS roles_legacy_id_key ON roles (legacy_id);
CREATE UNIQUE INDEX IF NOT EXISTS technician_roles_legacy_role_id_key ON technician_roles (legacy_role_id);
CREATE UNIQUE INDEX IF NOT EXISTS role_permissions_legacy_junction_id_key ON role_permissions (legacy_junction_id);
CREATE UNIQUE INDEX IF NOT EXISTS doctor_offices_legacy_office_doctor_id_key
    ON doctor_offices (legacy_office_doctor_id);
CREATE UNIQUE INDEX IF NOT EXISTS categories_legacy_category_id_key ON categories (legacy_category_id);
CREATE UNIQUE INDEX IF NOT EXISTS products_legacy_product_id_key ON products (legacy_product_id);
CREATE UNIQUE INDEX IF NOT EXISTS cases_legacy_patient_id_key ON cases (legacy_patient_id);
CREATE UNIQUE INDEX IF NOT EXISTS cases_legacy_project_id_key ON cases (legacy_project_id);
CREATE UNIQUE INDEX IF NOT EXISTS orders_legacy_instruction_id_key ON orders (legacy_instruction_id);
CREATE UNIQUE INDEX IF NOT EXISTS jaws_legacy_jaw_id_key ON jaws (legacy_jaw_id);
CREATE UNIQUE INDEX IF NOT EXISTS projects_legacy_project_id_key ON projects (legacy_project_id);
CREATE UNIQUE INDEX IF NOT EXISTS treatment_plans_legacy_plan_id_key ON treatment_plans (legacy_plan_id);
CREATE UNIQUE INDEX IF NOT EXISTS order_states_legacy_state_id_key ON order_states (legacy_state_id);
CREATE UNIQUE INDEX IF NOT EXISTS case_states_legacy_state_id_key ON case_states (legacy_state_id);
CREATE UNIQUE INDEX IF NOT EXISTS files_legacy_file_id_key ON files (legacy_file_id);
CREATE UNIQUE INDEX IF NOT EXISTS order_files_legacy_file_id_key ON order_files (legacy_file_id);
CREATE UNIQUE INDEX IF NOT EXISTS messages_legacy_record_id_key ON messages (legacy_record_id);
CREATE UNIQUE INDEX IF NOT EXISTS case_messages_legacy_key ON case_messages (legacy_table, legacy_id);
CREATE UNIQUE INDEX IF NOT EXISTS comments_legacy_key ON comments (legacy_table, legacy_id);
CREATE UNIQUE INDEX IF NOT EXISTS treatment_discussions_legacy_comment_id_key
    ON treatment_discussions (legacy_comment_id);
CREATE UNIQUE INDEX IF NOT EXISTS message_attachments_legacy_attachment_id_key
    ON message_attachments (legacy_attachment_id);
CREATE UNIQUE INDEX IF NOT EXISTS system_messages_legacy_notification_id_key
    ON system_messages (legacy_notification_id);
CREATE UNIQUE INDEX IF NOT EXISTS payments_legacy_payment_id_key ON payments (legacy_payment_id);
CREATE UNIQUE INDEX IF NOT EXISTS operations_legacy_operation_id_key ON operations (legacy_operation_id);
CREATE UNIQUE INDEX IF NOT EXISTS purchases_legacy_key ON purchases (source_table, legacy_purchase_id);
-- A practice's own copy of a template has no legacy row of its own.
CREATE UNIQUE INDEX IF NOT EXISTS templates_legacy_template_id_key ON templates (legacy_template_id);
CREATE UNIQUE INDEX IF NOT EXISTS templates_copied_from_key ON templates (copied_from, practice_id);
CREATE UNIQUE INDEX IF NOT EXISTS template_view_groups_legacy_junction_id_key
    ON template_view_groups (legacy_junction_id);
CREATE UNIQUE INDEX IF NOT EXISTS template_view_roles_legacy_junction_id_key
    ON template_view_roles (legacy_junction_id);
