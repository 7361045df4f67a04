// An SAE in Node, without a library: takes a key for another SAE, or fetches keys by their IDs (ETSI GS QKD 014).
//
//   node sae.mjs take  URL SLAVE_SAE [NUMBER [SIZE_BITS]]     prints {"keys":[{"key_ID":…,"key":…}]}
//   node sae.mjs fetch URL MASTER_SAE KEY_ID...
//
// Certificate files come from the environment: SAE_CERT, SAE_KEY, KME_CA.
import { readFileSync } from 'node:fs'
import { Agent, request } from 'node:https'

const [method, url, other, ...rest] = process.argv.slice(2)
const file = (name) => readFileSync(process.env[name] ?? `${name} is not set`)
const agent = new Agent({ cert: file('SAE_CERT'), key: file('SAE_KEY'), ca: file('KME_CA'), keepAlive: true, maxSockets: 8, minVersion: 'TLSv1.3' })

/** One request. A request and its answer belong to one connection: do not send the next one before the answer is read. */
const post = (path, body) => new Promise((resolve, reject) => {
  const text = JSON.stringify(body)
  const outgoing = request(new URL(path, url), {
    method: 'POST', agent, timeout: 10_000, headers: { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text) },
  }, (answer) => {
    let got = ''
    answer.setEncoding('utf8').on('data', (part) => { got += part }).on('end', () => {
      resolve({ status: answer.statusCode, retryAfterS: Number(answer.headers['retry-after'] ?? 1), body: got === '' ? undefined : JSON.parse(got) })
    }).on('error', reject)
  })
  outgoing.on('timeout', () => { outgoing.destroy(new Error('no answer within 10 s')) }).on('error', reject)
  outgoing.end(text)
})

/** 503 passes: not enough keys now, or the other KME is away. Everything else that is not 200 is for a person. */
const ask = async (path, body) => {
  for (let attempt = 1; ; attempt++) {
    const answer = await post(path, body)
    if (answer.status === 200) return answer.body
    if (answer.status !== 503 || attempt === 5) throw new Error([answer.status, answer.body?.message ?? '', ...(answer.body?.details ?? []).map((detail) => JSON.stringify(detail))].join(' '))
    await new Promise((resolve) => { setTimeout(resolve, answer.retryAfterS * 1_000) })
  }
}

const keys = `/api/v1/keys/${encodeURIComponent(other ?? '')}`
try {
  if (method === 'take') console.log(JSON.stringify(await ask(`${keys}/enc_keys`, { number: Number(rest[0] ?? 1), size: Number(rest[1] ?? 256) })))
  else if (method === 'fetch') console.log(JSON.stringify(await ask(`${keys}/dec_keys`, { key_IDs: rest.map((key_ID) => ({ key_ID })) })))
  else throw new Error('take URL SLAVE_SAE [NUMBER [SIZE_BITS]], or fetch URL MASTER_SAE KEY_ID...')
} catch (error) {
  console.error(error.message)
  process.exitCode = 1
}
agent.destroy()
