-- What the queue of texts for embeddings looks for (mapping/embeddings.yaml). Only where that is to run.
CREATE INDEX IF NOT EXISTS messages_content_md5_idx ON messages (md5(content));
CREATE INDEX IF NOT EXISTS comments_content_md5_idx ON comments (md5(content));
CREATE INDEX IF NOT EXISTS doctor_notes_content_md5_idx ON doctor_notes (md5(content));
CREATE INDEX IF NOT EXISTS cases_title_md5_idx ON cases (md5(title));
CREATE INDEX IF NOT EXISTS projects_name_md5_idx ON projects (md5(name));
