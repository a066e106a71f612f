//! A real service on a free port with its own database, a typed client and fake neighbours.

pub mod database;
