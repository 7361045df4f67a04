import type { Operator, Role } from './port.js'

/** Who a certificate belongs to, or why nobody. `message` goes to the log, not to the caller. */
export type OperatorCheck = (pem: string) => { readonly operator: Operator } | { readonly refused: string }

/** Judges a certificate: chain, dates, revocation, pins. src/crypto/trust.ts has it. */
export type CertificateCheck = (pem: string) => { readonly ok: true, readonly id: string } | { readonly ok: false, readonly message: string }

/** The user of the Unix socket: whoever may open it (mode 0600) is the user of the KME or root. */
export const socketOperator: Operator = { name: 'socket', role: 'destroy' }

/** Knows operators by the name in their certificate. An operator without a role may do nothing, not even look. */
export const operatorCheck = (check: CertificateCheck, roles: readonly { readonly operator: string, readonly role: Role }[]): OperatorCheck => {
  const roleOf = new Map(roles.map(({ operator, role }) => [operator, role]))
  return (pem) => {
    if (pem === '') return { refused: 'no certificate was shown' }
    const result = check(pem)
    if (!result.ok) return { refused: result.message }
    const role = roleOf.get(result.id)
    return role === undefined ? { refused: `operator ${result.id} has no role` } : { operator: { name: result.id, role } }
  }
}
