/** Ends of numbers that only rise, and that messages carry (ARCHITECTURE.md, Numbers that only rise). */

/** Blocks of a pool: 115.8 Mbit/s fill half of it, which is what a hello may tell, in 9,700 years. A frame's header has room for twice as many; a key ID has 32 bits of the number. */
export const BLOCKS_MAX = 2 ** 47
/** Of the ID epochs: where association numbers begin anew after it has 32 bits, too. */
export const LAST_EPOCH = 2 ** 32 - 2
