//! Settings of the store, and of the database engine under it.

use std::sync::Arc;

use rocksdb::{
    BlockBasedOptions, Cache, ColumnFamilyDescriptor, DBCompressionType, DBRecoveryMode, LogLevel,
    Options, SliceTransform, WriteBufferManager, WriteOptions,
};

use super::{
    error::StoreError,
    keys::PREFIX_BYTES,
    space::{FileSystem, FreeSpace},
};
use crate::base::limits;

/// What an operator, or a test, may choose about a store.
#[derive(Clone)]
pub struct StoreOptions {
    /// Memory for blocks of files that were read.
    pub cache_bytes: usize,
    /// Memory for records and index keys that are in the write-ahead log but not in tables yet.
    pub memtable_bytes: usize,
    /// Free space under which submissions are turned away.
    pub free_space_floor_bytes: u64,
    /// Users that may be registered.
    pub users_max: u64,
    /// Who tells the free space.
    pub free_space: Arc<dyn FreeSpace>,
}

impl Default for StoreOptions {
    fn default() -> Self {
        Self {
            cache_bytes: limits::STORE_CACHE_BYTES,
            memtable_bytes: limits::STORE_MEMTABLE_BYTES,
            free_space_floor_bytes: limits::FREE_SPACE_FLOOR_BYTES,
            users_max: limits::USERS_MAX as u64,
            free_space: Arc::new(FileSystem),
        }
    }
}

/// The default column family: schema version, digest key, counters.
pub(super) const META: &str = "default";
/// The record log.
pub(super) const LOG: &str = "log";
/// The index.
pub(super) const INDEX: &str = "index";
/// What acts set, and what is stored on behalf of users.
pub(super) const STATE: &str = "state";
/// Chunks of BLOBs.
pub(super) const BLOBS: &str = "blobs";

/// Options of the whole database.
pub(super) fn database(settings: &StoreOptions) -> Result<Options, StoreError> {
    // A checksum over each key and value in memory, until it is in a table: the binding has no
    // call for it, only the option string.
    let mut options = Options::default().get_options_from_string(MEMTABLE_PROTECTION)?;
    options.create_missing_column_families(true);
    options.set_paranoid_checks(true);
    // A checksum that fails anywhere in the write-ahead log stops the start. The default mode would
    // open after dropping everything behind the first bad byte, acknowledged records included.
    options.set_wal_recovery_mode(DBRecoveryMode::TolerateCorruptedTailRecords);
    options.set_track_and_verify_wals_in_manifest(true);
    options.set_max_total_wal_size(limits::STORE_WAL_BYTES);
    let manager =
        WriteBufferManager::new_write_buffer_manager(settings.memtable_bytes, ALLOW_STALL);
    options.set_write_buffer_manager(&manager);
    // There is one writer: without the lock-free insert a memtable remembers where the last key
    // went, which makes sorted keys cheap.
    options.set_allow_concurrent_memtable_write(false);
    options.set_max_background_jobs(BACKGROUND_JOBS);
    options.set_max_open_files(limits::STORE_OPEN_FILES_MAX);
    options.set_bytes_per_sync(1 << 20);
    options.set_avoid_unnecessary_blocking_io(true);
    options.set_stats_dump_period_sec(0);
    options.set_stats_persist_period_sec(0);
    options.set_log_level(LogLevel::Warn);
    options.set_keep_log_file_num(2);
    options.set_max_log_file_size(4 << 20);
    Ok(options)
}

/// The column families with their options.
pub(super) fn families(settings: &StoreOptions) -> Result<Vec<ColumnFamilyDescriptor>, StoreError> {
    let cache = Cache::new_hyper_clock_cache(settings.cache_bytes, 0);
    Ok(vec![
        ColumnFamilyDescriptor::new(META, meta(&cache)?),
        ColumnFamilyDescriptor::new(LOG, log(&cache)?),
        ColumnFamilyDescriptor::new(INDEX, index(&cache)?),
        ColumnFamilyDescriptor::new(STATE, state(&cache)?),
        ColumnFamilyDescriptor::new(BLOBS, blobs(&cache)?),
    ])
}

/// How every batch is written: on disk before the call returns.
pub(super) fn synced() -> WriteOptions {
    let mut options = WriteOptions::default();
    options.set_sync(true);
    options
}

fn meta(cache: &Cache) -> Result<Options, StoreError> {
    let mut options = Options::default().get_options_from_string(MEMTABLE_PROTECTION)?;
    options.set_write_buffer_size(1 << 20);
    options.set_block_based_table_factory(&tables(cache));
    Ok(options)
}

fn state(cache: &Cache) -> Result<Options, StoreError> {
    let mut options = Options::default().get_options_from_string(MEMTABLE_PROTECTION)?;
    options.set_write_buffer_size(limits::STORE_STATE_BUFFER_BYTES);
    options.set_compression_type(DBCompressionType::Lz4);
    let mut tables = tables(cache);
    // Whoever writes for the first time is looked up and is not there.
    tables.set_bloom_filter(10.0, false);
    options.set_block_based_table_factory(&tables);
    Ok(options)
}

fn log(cache: &Cache) -> Result<Options, StoreError> {
    let mut options = Options::default().get_options_from_string(MEMTABLE_PROTECTION)?;
    options.set_write_buffer_size(limits::STORE_LOG_BUFFER_BYTES);
    options.set_max_write_buffer_number(3);
    // One method on every level: then a file of this ever-growing key range moves down the levels
    // without being rewritten.
    options.set_compression_type(DBCompressionType::Lz4);
    options.set_block_based_table_factory(&tables(cache));
    options.set_enable_blob_files(true);
    options.set_min_blob_size(BLOB_MIN_BYTES);
    options.set_blob_file_size(256 << 20);
    options.set_blob_compression_type(DBCompressionType::Lz4);
    options.set_enable_blob_gc(true);
    options.set_blob_cache(cache);
    Ok(options)
}

fn index(cache: &Cache) -> Result<Options, StoreError> {
    let mut options = Options::default().get_options_from_string(MEMTABLE_PROTECTION)?;
    options.set_write_buffer_size(limits::STORE_INDEX_BUFFER_BYTES);
    options.set_max_write_buffer_number(4);
    options.set_compression_type(DBCompressionType::Lz4);
    options.set_bottommost_compression_type(DBCompressionType::Zstd);
    options.set_prefix_extractor(SliceTransform::create_fixed_prefix(PREFIX_BYTES));
    options.set_memtable_prefix_bloom_ratio(0.1);
    // Replaced records leave deletions; a file full of them is compacted before it slows a scan.
    options.add_compact_on_deletion_collector_factory(128, 64, 0.3);
    let mut tables = tables(cache);
    tables.set_bloom_filter(10.0, false);
    tables.set_whole_key_filtering(false);
    options.set_block_based_table_factory(&tables);
    Ok(options)
}

/// Chunks are written once, read in order, and deleted in ranges: what compaction moves is their
/// keys alone, and a file of values goes when nothing in it is left.
fn blobs(cache: &Cache) -> Result<Options, StoreError> {
    let mut options = Options::default().get_options_from_string(MEMTABLE_PROTECTION)?;
    options.set_write_buffer_size(limits::STORE_BLOB_BUFFER_BYTES);
    options.set_max_write_buffer_number(2);
    options.set_compression_type(DBCompressionType::Lz4);
    options.set_block_based_table_factory(&tables(cache));
    options.set_enable_blob_files(true);
    options.set_min_blob_size(CHUNK_MIN_BYTES);
    options.set_blob_file_size(64 << 20);
    // Pictures, sound and archives are compressed already.
    options.set_blob_compression_type(DBCompressionType::None);
    options.set_enable_blob_gc(true);
    // Deletions reach the files below though nothing new is written; the keys are few.
    options.set_periodic_compaction_seconds(PERIODIC_COMPACTION_SECONDS);
    Ok(options)
}

fn tables(cache: &Cache) -> BlockBasedOptions {
    let mut tables = BlockBasedOptions::default();
    tables.set_block_cache(cache);
    tables.set_block_size(8 << 10);
    // Indexes and filters count against the cache, so that all memory is bounded by settings.
    tables.set_cache_index_and_filter_blocks(true);
    tables.set_cache_index_and_filter_blocks_with_high_priority(true);
    tables.set_pin_l0_filter_and_index_blocks_in_cache(true);
    tables
}

/// Values from this size on are kept beside the tables and stay out of compaction.
const BLOB_MIN_BYTES: u64 = 64 << 10;

/// Chunks from this size on, which are all but the last ones of small BLOBs.
const CHUNK_MIN_BYTES: u64 = 4 << 10;

/// A day.
const PERIODIC_COMPACTION_SECONDS: u64 = 24 * 60 * 60;

/// One flush and one compaction at a time.
const BACKGROUND_JOBS: i32 = 2;

/// The writer is never stopped for memory: the manager flushes early instead.
const ALLOW_STALL: bool = false;

const MEMTABLE_PROTECTION: &str = "memtable_protection_bytes_per_key=8";
