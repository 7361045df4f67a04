import { Option, type Command } from 'commander'
import { KmeError } from '../../src/kernel/errors.js'
import { measureFlood, type FloodMeasure } from './measure.js'

const whole = (min: number, max: number) => (text: string): number => {
  if (!/^\d+$/.test(text) || Number(text) < min || Number(text) > max) throw new KmeError('CONFIG_INVALID', `${text}: not a whole number from ${min} to ${max}`)
  return Number(text)
}
const wholes = (min: number, max: number) => (text: string): number[] => text.split(',').map(whole(min, max))

interface FloodOptions { nodes: number[], degree: number, saes: number, seconds: number, seed: number }

const head = ['nodes', 'links', 'converged s', 'calm B/node/s', 'busy B/node/s', 'busiest node', 'messages/link/s', 'cut known ms', 'cut B/node']

const row = (m: FloodMeasure): string[] => [
  String(m.nodes), String(m.links), (m.convergedMs / 1_000).toFixed(1), m.calm.bytesPerS.toFixed(0), m.busy.bytesPerS.toFixed(0), m.busy.bytesPerSMax.toFixed(0),
  m.busy.messagesPerLinkPerS.toFixed(2), m.cutMs.toFixed(0), m.cutBytesPerNode.toFixed(0),
]

/** `sim flood`: what announcements cost in random networks of several sizes. A run is a seed. */
export const addFloodCommand = (program: Command): void => {
  program.command('flood')
    .description('routers of many KMEs in one process: traffic of announcements against the number of KMEs')
    .addOption(new Option('--nodes <n,n,...>', 'sizes of the networks').argParser(wholes(3, 2_000)).default([25, 50, 100, 200]))
    .addOption(new Option('--degree <n>', 'links of a node, in the mean').argParser(whole(2, 64)).default(4))
    .addOption(new Option('--saes <n>', 'SAEs of each node').argParser(whole(0, 10_000)).default(20))
    .addOption(new Option('--seconds <n>', 'simulated time of each phase').argParser(whole(5, 100_000)).default(60))
    .addOption(new Option('--seed <n>', 'of chance').argParser(whole(0, 0xffff_ffff)).default(1))
    .action((o: FloodOptions) => {
      process.stdout.write(`${head.join('  ')}\n`)
      for (const nodes of o.nodes) {
        const cells = row(measureFlood({ nodes, degree: o.degree, saes: o.saes, seconds: o.seconds, seed: o.seed }))
        process.stdout.write(`${cells.map((cell, i) => cell.padStart(head[i]!.length)).join('  ')}\n`)
      }
    })
}
