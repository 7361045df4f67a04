import { readFileSync } from 'node:fs'
import t from 'tap'
import { exitCodes } from '../../src/cli/exit-codes.js'
import { defaultPorts, type StartOptions } from '../../src/cli/start/options.js'
import { choosePorts, withOtherPorts } from '../../src/cli/start/ports.js'
import { systemRandom } from '../../src/kernel/system-random.js'

t.test('free ports are no ports that the kernel gives to the next connection', async (t) => {
  const { a, b } = await choosePorts({ freePorts: true } as StartOptions, undefined, systemRandom), ports = [a, b].flatMap((site) => Object.values(site))
  const [low, high] = readFileSync('/proc/sys/net/ipv4/ip_local_port_range', 'utf8').trim().split(/\s+/).map(Number)
  t.equal(new Set(ports).size, 6)
  if (low! > 14_000) t.same(ports.filter((port) => port >= low! && port <= high!), [])
  t.same(await choosePorts({ freePorts: false } as StartOptions, undefined, systemRandom), defaultPorts)
})

t.test('a start whose free port was taken meanwhile is made again, three times in all; others are not', async (t) => {
  const run = async (freePorts: boolean, codes: number[], stopAfter = Infinity): Promise<[code: number, attempts: number, told: number]> => {
    let attempts = 0, told = 0
    const code = await withOtherPorts({ freePorts }, async () => codes[attempts++]!, () => attempts >= stopAfter, () => { told++ })
    return [code, attempts, told]
  }
  const port = exitCodes.port.code
  t.same(await run(true, [port, 0]), [0, 2, 1])
  t.same(await run(true, [port, port, port, 0]), [port, 3, 2])
  t.same(await run(true, [exitCodes.failed.code, 0]), [exitCodes.failed.code, 1, 0])
  t.same(await run(false, [port, 0]), [port, 1, 0], 'asked for ports are not exchanged')
  t.same(await run(true, [port, 0], 1), [port, 1, 0], 'nor after Ctrl-C')
})
