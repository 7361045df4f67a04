import { createHash } from 'node:crypto'
import type { KmeId } from '../../src/kernel/ids.js'
import type { JudgeCertificate, Signer } from '../../src/routing/ports.js'

/**
 * Certificates and signatures for simulated networks: hashes under a secret of each KME, so that thousands cost nothing and
 * nobody in the simulation makes one by accident. `authority` says which KMEs are in good standing.
 */
export class SimAuthority {
  readonly #revoked = new Set<KmeId>()
  /** KMEs of which an OCSP responder has said nothing yet. */
  readonly pending = new Set<KmeId>()

  signer (kme: KmeId, serial = 1): Signer {
    return { certificate: new TextEncoder().encode(`certificate ${serial} ${kme}`), sign: (bytes) => mac(kme, serial, bytes) }
  }

  revoke (kme: KmeId): void { this.#revoked.add(kme) }

  readonly judge: JudgeCertificate = (der) => {
    const [word, serial, kme] = Buffer.from(der).toString('latin1').split(' ')
    if (word !== 'certificate' || kme === undefined) return { refused: 'not a certificate' }
    if (this.#revoked.has(kme)) return { refused: `the certificate of ${kme} is revoked` }
    if (this.pending.has(kme)) return { refused: 'a responder is being asked', isPending: true }
    return { kme, validUntilMs: Infinity, verify: (bytes, signature) => Buffer.compare(mac(kme, Number(serial), bytes), signature) === 0 }
  }
}

/** As long as a signature of P-256. */
const mac = (kme: KmeId, serial: number, bytes: Uint8Array): Uint8Array =>
  new Uint8Array(createHash('sha512').update(`secret of ${kme} ${serial}`).update(bytes).digest())
