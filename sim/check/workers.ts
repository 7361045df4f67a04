import { fork } from 'node:child_process'
import { KmeError } from '../../src/kernel/errors.js'
import { runSeed, type CheckOptions, type CheckResult } from './campaign.js'

/** What a worker is told, and what it answers. */
interface Order { readonly seed: number, readonly options: CheckOptions }

/**
 * Runs seeds in `count` processes of their own, for a simulated world is one thread's work. Ends with the first violation, when `next`
 * has no more, or when a worker dies.
 *
 * @param next The next seed, or undefined: enough.
 * @throws KmeError `INTERNAL` if a worker dies of itself.
 */
export const runParallel = (count: number, options: CheckOptions, next: () => number | undefined, each: (result: CheckResult) => void): Promise<CheckResult | undefined> =>
  new Promise((resolve, reject) => {
    const workers = Array.from({ length: count }, () => fork(new URL(import.meta.url), ['worker']))
    let busy = 0, isOver = false
    const end = (result: CheckResult | undefined): void => {
      isOver = true
      for (const worker of workers) worker.kill()
      resolve(result)
    }
    for (const worker of workers) {
      const give = (): void => {
        const seed = next()
        if (seed === undefined) { if (busy === 0) end(undefined); return }
        busy++
        worker.send({ seed, options } satisfies Order)
      }
      worker.on('message', (result: CheckResult) => {
        if (isOver) return
        busy--
        each(result)
        if (result.violations.length > 0) end(result)
        else give()
      })
      worker.on('exit', (code) => {
        if (isOver) return
        isOver = true
        for (const other of workers) other.kill()
        reject(new KmeError('INTERNAL', `a worker of the check died with exit code ${code ?? 'none'}`))
      })
      give()
    }
  })

if (process.argv[2] === 'worker' && process.send !== undefined) {
  process.on('message', (order: Order) => {
    void runSeed(order.seed, order.options).then((result) => process.send?.(result.violations.length > 0 ? result : { ...result, log: [] }))
  })
}
