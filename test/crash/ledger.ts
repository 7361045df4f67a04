/** Every answer that an SAE ever got, and what must hold of all of them together. */
import type { Received } from '../e2e/sae.js'

/** Keys are compared in units of 8 bytes: what the KMEs cut in. 64 random bits meet by chance once in 10^10 keys or so. */
const UNIT_BYTES = 8

interface Entry { readonly key: string, readonly master: string, readonly slaves: Map<string, number> }

export class Ledger {
  private readonly entries = new Map<string, Entry>()
  /** Unit of key, in hexadecimal, to the ID whose key holds it. */
  private readonly units = new Map<string, string>()
  readonly faults: string[] = []
  keys = 0
  fetched = 0
  /** IDs that a slave asked for when its KME answered 400 though nobody had fetched them, as far as anybody knows. */
  refused = 0

  /** The master got keys. */
  cut (master: string, keys: readonly Received[]): void {
    for (const { id, key } of keys) {
      if (this.entries.has(id)) { this.faults.push(`ID ${id} came twice`); continue }
      this.entries.set(id, { key, master, slaves: new Map() })
      this.keys++
      const bytes = Buffer.from(key, 'base64')
      for (let at = 0; at + UNIT_BYTES <= bytes.length; at += UNIT_BYTES) {
        const unit = bytes.toString('hex', at, at + UNIT_BYTES)
        const other = this.units.get(unit)
        if (other !== undefined) this.faults.push(`the same 8 bytes are in the keys of ${other} and ${id}, byte ${at}`)
        this.units.set(unit, id)
      }
    }
  }

  /** A slave got keys. */
  served (slave: string, asked: readonly string[], keys: readonly Received[]): void {
    if (asked.length !== keys.length || keys.some(({ id }, i) => id !== asked[i])) this.faults.push(`${slave} asked for other IDs than it got`)
    for (const { id, key } of keys) {
      const entry = this.entries.get(id)
      if (entry === undefined) { this.faults.push(`${slave} got ID ${id}, which no master got`); continue }
      if (entry.key !== key) this.faults.push(`ID ${id}: master and ${slave} have other bytes`)
      const times = (entry.slaves.get(slave) ?? 0) + 1
      entry.slaves.set(slave, times)
      if (times > 1) this.faults.push(`${slave} got ID ${id} ${times} times`)
      this.fetched++
    }
  }
}
