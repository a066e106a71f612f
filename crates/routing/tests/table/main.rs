//! Tests of the routing file: which route a request takes, what is wrong with a file and where, and
//! what becomes of a Kong file.

#[cfg(test)]
mod faults;
#[cfg(test)]
mod kong;
#[cfg(test)]
mod matching;
#[cfg(test)]
mod rewriting;
