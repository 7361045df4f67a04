import type { Fault } from './scenario.js'

/** A fault in words, for the list of events. */
export const describeFault = (f: Fault): string => {
  if ('cut' in f) return `QKD link ${f.cut.join(' - ')} cut`
  if ('restore' in f) return `QKD link ${f.restore.join(' - ')} restored`
  if ('eavesdrop' in f) return `eavesdropper on ${f.eavesdrop.join(' - ')}: QBER ${(f.qber * 100).toFixed(1)} %`
  if ('slow' in f) return `QKD link ${f.slow.join(' - ')} at ${f.rate}bit/s`
  if ('partition' in f) return f.oneWay === true ? `nothing reaches ${f.partition[1]} from ${f.partition[0]}` : `network between ${f.partition.join(' and ')} dead`
  if ('heal' in f) return `network between ${f.heal.join(' and ')} healed`
  if ('kill' in f) return `${f.kill} killed`
  if ('start' in f) return `${f.start} started`
  if ('copy' in f) return `store of ${f.copy} copied`
  return `${f.rollBack} started on the old copy of its store`
}
