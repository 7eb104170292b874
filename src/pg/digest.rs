//! The 128-bit hash of a number and a text, and its C entry point: called for each record that is written, so that the
//! bridge's wrapper would be felt.

use pgrx::pg_sys::{self, Datum};

/// The hash of a text in the space of a number. A text of up to 11 bytes is its own hash (number, length and text, big-
/// endian), so that neighbours stay neighbours in an index; for longer ones it is XXH3, 128 bits, seed 0, over the number
/// (8 bytes, little-endian) and the text. It must never change: records are unique by it.
pub fn of(number: i32, text: &[u8]) -> u128 {
    let mut bytes = [0; 16];
    bytes[..4].copy_from_slice(&number.to_be_bytes());
    if let Some(place) = bytes.get_mut(5..5 + text.len()) {
        place.copy_from_slice(text);
        bytes[4] = text.len() as u8;
        return u128::from_be_bytes(bytes);
    }
    let mut long = Vec::with_capacity(8 + text.len());
    long.extend_from_slice(&i64::from(number).to_le_bytes());
    long.extend_from_slice(text);
    xxhash_rust::xxh3::xxh3_128(&long)
}

unsafe extern "C-unwind" {
    #[link_name = "pg_detoast_datum_packed"]
    fn raw_detoast(value: *mut pg_sys::varlena) -> *mut pg_sys::varlena;
    #[link_name = "palloc"]
    fn raw_palloc(size: usize) -> *mut std::ffi::c_void;
}

/// Tells the server the calling convention of `key_hash`.
#[unsafe(no_mangle)]
pub extern "C" fn pg_finfo_key_hash() -> &'static pg_sys::Pg_finfo_record {
    const VERSION_1: pg_sys::Pg_finfo_record = pg_sys::Pg_finfo_record { api_version: 1 };
    &VERSION_1
}

/// `jittask.key_hash(int, text)`, strict. Without the bridge's guard: nothing here panics, and an ERROR of the server's jumps
/// over nothing that has to be dropped.
///
/// # Safety
/// Called by the server.
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn key_hash(call: pg_sys::FunctionCallInfo) -> Datum {
    unsafe {
        let arguments = (*call).args.as_slice(2);
        let text = raw_detoast(arguments[1].value.cast_mut_ptr());
        let bytes = std::slice::from_raw_parts(
            pgrx::varlena::vardata_any(text).cast::<u8>(),
            pgrx::varlena::varsize_any_exhdr(text),
        );
        let place = raw_palloc(16).cast::<[u8; 16]>();
        place.write(of(arguments[0].value.value() as i32, bytes).to_be_bytes());
        Datum::from(place)
    }
}
