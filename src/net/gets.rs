//! A GET: references, answered in the order in which they were asked, each record once.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Instant;

use super::requests::{Request, Stop};
use crate::base::limits::{
    GET_GROUP_MAX_RECORDS, PAGE_MAX_BYTES, PAGE_MAX_RECORDS, PAGE_TIME_BUDGET,
};
use crate::store::{Entry, Store, StoreError};
use crate::wire::{Address, Record, RecordId, Reference};
