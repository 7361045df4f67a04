import { invariant } from '../kernel/errors.js'

const SECTION_VERSION_NEEDS = 0x6ffffffe // SHT_GNU_verneed
const FLAG_WEAK = 0x2 // VER_FLG_WEAK

interface Section { readonly type: number, readonly offset: number, readonly size: number, readonly link: number }

const sectionAt = (elf: Buffer, tableOffset: number, entryBytes: number, index: number): Section => {
  const at = tableOffset + index * entryBytes
  invariant(at + 0x40 <= elf.length, 'section header lies inside the file')
  return {
    type: elf.readUInt32LE(at + 0x04),
    offset: Number(elf.readBigUInt64LE(at + 0x18)),
    size: Number(elf.readBigUInt64LE(at + 0x20)),
    link: elf.readUInt32LE(at + 0x28),
  }
}

const nameAt = (elf: Buffer, strings: Section, offset: number): string => {
  const start = strings.offset + offset
  const end = elf.indexOf(0, start)
  invariant(offset < strings.size && end !== -1 && end < strings.offset + strings.size, 'name lies inside the string table')
  return elf.toString('latin1', start, end)
}

/**
 * Marks every need of symbol version `version` as weak, in place: the dynamic loader then only warns when a library
 * lacks that version, instead of refusing the file (System V ABI, GNU symbol versioning: Vernaux.vna_flags).
 *
 * @param elf  A whole 64-bit little-endian ELF file.
 * @returns How many entries were marked now; 0 if the file does not need that version or was marked before.
 * @throws Error `invariant violated` if the file is not such an ELF file or its tables point outside it.
 */
export const weakenVersionNeed = (elf: Buffer, version: string): number => {
  invariant(elf.length > 64 && elf.readUInt32BE(0) === 0x7f454c46, 'an ELF file')
  invariant(elf[4] === 2 && elf[5] === 1, 'a 64-bit little-endian ELF file')
  const tableOffset = Number(elf.readBigUInt64LE(0x28)), entryBytes = elf.readUInt16LE(0x3a), sections = elf.readUInt16LE(0x3c)
  let marked = 0
  for (let index = 0; index < sections; index++) {
    const needs = sectionAt(elf, tableOffset, entryBytes, index)
    if (needs.type !== SECTION_VERSION_NEEDS) continue
    const strings = sectionAt(elf, tableOffset, entryBytes, needs.link)
    const end = needs.offset + needs.size
    invariant(end <= elf.length && strings.offset + strings.size <= elf.length, 'version needs lie inside the file')
    marked += weakenIn(elf, needs.offset, end, strings, version)
  }
  return marked
}

/** Walks the chain of needs (one per library), each with its chain of versions. A step of 0 ends a chain. */
const weakenIn = (elf: Buffer, start: number, end: number, strings: Section, version: string): number => {
  let marked = 0
  for (let need = start, step = -1; step !== 0; need += step) {
    invariant(need + 16 <= end, 'version need lies inside its section')
    let entry = need + elf.readUInt32LE(need + 8)
    for (let left = elf.readUInt16LE(need + 2); left > 0; left--) {
      invariant(entry + 16 <= end, 'version entry lies inside its section')
      const flags = elf.readUInt16LE(entry + 4)
      if (nameAt(elf, strings, elf.readUInt32LE(entry + 8)) === version && (flags & FLAG_WEAK) === 0) {
        elf.writeUInt16LE(flags | FLAG_WEAK, entry + 4)
        marked++
      }
      entry += elf.readUInt32LE(entry + 12)
    }
    step = elf.readUInt32LE(need + 12)
  }
  return marked
}
