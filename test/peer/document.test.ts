import { readFileSync } from 'node:fs'
import t from 'tap'
import { FRAME_BYTES_MAX } from '../../src/peer/frame.js'
import { messages } from '../../src/peer/messages.js'
import { closeCodes, reasonOfCode, securityReasons, type CloseReason } from '../../src/peer/refusal.js'

const root = import.meta.url.includes('/dist/') ? '../../../' : '../../'
const text = readFileSync(new URL(`${root}docs/peer-protocol.md`, import.meta.url), 'utf8')
const yes = (is: boolean): string => is ? 'yes' : 'no'

t.test('docs/peer-protocol.md lists every message as it is', async (t) => {
  for (const [name, { code, tagged, vital }] of Object.entries(messages)) {
    t.ok(text.includes(`| ${code} | \`${name}\` | ${yes(tagged)} | ${yes(vital)} |`), `${name}: add or correct its row in section 5`)
    if (!tagged) t.ok(text.slice(0, text.indexOf('## 5.')).includes(`\`${name}\``), `${name}: section 4 says why it has no tag`)
  }
})

t.test('and every close code, each of which means one reason', async (t) => {
  const local: ReadonlySet<CloseReason> = new Set<CloseReason>(['network', 'connect-failed', 'connect-timeout'])
  for (const [reason, code] of Object.entries(closeCodes) as [CloseReason, number][]) {
    const row = text.split('\n').find((line) => line.startsWith(`| ${local.has(reason) ? '-' : code} | \`${reason}\` |`))
    t.ok(row !== undefined, reason)
    t.equal(row?.includes('Attack'), securityReasons.has(reason))
    t.equal(reasonOfCode(code), reason)
  }
  t.equal(reasonOfCode(4999), 'network')
  t.ok(text.includes(FRAME_BYTES_MAX.toLocaleString('en-US')))
})
