/** Rows about the store itself. They never travel in a backup. */
export const META = {
  /** u32: src/store/schema.ts. */
  schema: ['meta', 'schema'],
  /** 16 bytes for the folder's life: salt of everything derived from its master key. */
  ring: ['meta', 'ring'],
  /** 16 bytes: the identity that peers know. A copy, a restored and a zeroized store take a new one. */
  storeId: ['meta', 'store'],
  /** 16 bytes that tell whether a master key is the right one. */
  check: ['meta', 'check'],
  /** u32: generation of keyslots.bin. */
  slotGeneration: ['meta', 'slots'],
  /** JSON: src/store/stamp.ts. */
  stamp: ['meta', 'stamp'],
  /** Why all stock must be voided before anything is spent: 'restored' or 'zeroized'. */
  void: ['meta', 'void'],
  /** f64: milliseconds this store has been in use, counted ahead. */
  age: ['meta', 'age'],
} as const
