import type { Command } from 'commander'
import type { DeviceView, FrameHeaderView } from '../../admin/port.js'
import { KmeError } from '../../kernel/errors.js'
import type { AdminClient } from '../admin-client.js'
import { recordCount, seconds } from '../arguments.js'
import { adminOf, outputOf, withAdminOptions, type CliContext } from '../context.js'
import { exitCodes } from '../exit-codes.js'
import { pause } from '../keep-alive.js'
import { grouped, table } from '../output.js'

interface AdminOptions { readonly config?: string, readonly socket?: string }

/** Home and clear to the end of the screen: each picture takes the place of the last one. */
const REDRAW = '\u001b[H\u001b[J'
const CLEAR = '\u001b[2J'

const count = (device: DeviceView, ...names: string[]): number => names.reduce((sum, name) => sum + (device.counters[name] ?? 0), 0)
const percent = (qber: number | null): string => qber === null ? '-' : `${(qber * 100).toFixed(2)} %`
const devicesOf = async (admin: AdminClient): Promise<DeviceView[]> => await admin.get('/v1/devices') as DeviceView[]

/** Bits accepted per second between two looks; undefined at the first look or after the device was opened anew. */
const rateOf = (device: DeviceView, before: DeviceView | undefined, elapsedMs: number): number | undefined => {
  const bytes = count(device, 'acceptedBytes') - (before === undefined ? Number.NaN : count(before, 'acceptedBytes'))
  return bytes >= 0 && elapsedMs > 0 ? Math.round(bytes * 8_000 / elapsedMs) : undefined
}

/** Why a device gives nothing. The last fault of one that works again is history. */
const reasonOf = ({ state, lastFault }: DeviceView): string => lastFault === null || state === 'attached' || state === 'running' ? '' : lastFault

const faultsOf = (device: DeviceView): string => {
  const parts: [string, number][] = [
    ['bad', count(device, 'badForm', 'badCrc', 'badMac', 'badLink', 'badEpoch')], ['gaps', count(device, 'gaps')], ['missing', count(device, 'missingFrames')],
    ['dropped', count(device, 'deviceDrops')], ['repeats', count(device, 'repeats')], ['taken back', count(device, 'abortedFrames')], ['discarded', count(device, 'discardedFrames')],
  ]
  const told = parts.filter(([, n]) => n > 0).map(([name, n]) => `${grouped(n)} ${name}`)
  return [...device.quarantine === '' ? [] : [`quarantine: ${device.quarantine}`], ...told, ...reasonOf(device) === '' ? [] : [reasonOf(device)]].join(', ') || '-'
}

const deviceTable = (devices: readonly DeviceView[], rate: (device: DeviceView) => number | undefined): string =>
  table(['DEVICE', 'KIND', 'STATE', 'BIT/S', 'QBER', 'FRAMES', 'FAULTS'], devices.map((one) => {
    const bits = rate(one)
    return [one.id, one.kind, one.state, bits === undefined ? '-' : grouped(bits), percent(one.qber), grouped(count(one, 'acceptedFrames')), faultsOf(one)]
  }), 'lllrrrl')

const headerTable = (headers: readonly FrameHeaderView[]): string =>
  table(['SEQUENCE', 'EPOCH', 'DEVICE BLOCK', 'OFFSET', 'BYTES', 'QBER', 'FLAGS', 'AT'], headers.map((h) => [
    grouped(h.sequence), grouped(h.epoch), h.deviceBlock, grouped(h.offset), grouped(h.payloadBytes), percent(h.qber), h.flags.join(' ') || '-', h.at || '-',
  ]), 'rrlrrrll')

const headersOf = async (admin: AdminClient, id: string): Promise<FrameHeaderView[]> =>
  await admin.get(`/v1/devices/${encodeURIComponent(id)}/headers`) as FrameHeaderView[]

const deviceById = (devices: readonly DeviceView[], id: string): DeviceView => {
  const device = devices.find((one) => one.id === id || one.id === `device/${id}`)
  if (device === undefined) throw new KmeError('NOT_FOUND', `there is no device ${id}; there are: ${devices.map((one) => one.id).join(', ') || 'none'}`)
  return device
}

/** `qkme device …` */
export const registerDevice = (program: Command, context: CliContext): void => {
  const device = program.command('device').description('QKD devices and their links.')
  withAdminOptions(device.command('list')).description('Show each device: state, error rate, frames, faults.')
    .action(async (options: AdminOptions, command: Command) => {
      const out = outputOf(context, command), devices = await devicesOf(await adminOf(context, options))
      out.data(devices)
      out.line(deviceTable(devices, () => undefined))
    })
  withAdminOptions(device.command('watch')).description('Show them live, with rates and the last frame headers, until Ctrl-C. With --json one line per look.')
    .argument('[device]', 'show the frame headers of this one, as "device/1" or "1"; the first when left out')
    .option('--every <s>', 'seconds between looks', seconds, 2)
    .option('--looks <n>', 'end after so many', recordCount)
    .action((id: string | undefined, options: AdminOptions & { every: number, looks?: number }, command: Command) => watch(context, id, options, command))
  withAdminOptions(device.command('test')).description('Say whether a device delivers as it should. Exit code 1 if not.')
    .argument('<device>', 'as "device/1" or "1"')
    .option('--for <s>', 'seconds to watch it', seconds, 5)
    .action((id: string, options: AdminOptions & { for: number }, command: Command) => test(context, id, options, command))
  withAdminOptions(device.command('dump-header')).description('Show the headers of the newest frames, never their key.')
    .argument('<device>', 'as "device/1" or "1"')
    .addHelpText('after', '\nExample:\n  qkme device dump-header 1 --json | jq .[-1]\n')
    .action(async (id: string, options: AdminOptions, command: Command) => {
      const out = outputOf(context, command), headers = await headersOf(await adminOf(context, options), id)
      out.data(headers)
      out.line(headers.length === 0 ? 'no frame has come since the device was opened' : headerTable(headers))
    })
}

const watch = async (context: CliContext, id: string | undefined, options: { every: number, looks?: number } & AdminOptions, command: Command): Promise<void> => {
  const out = outputOf(context, command), admin = await adminOf(context, options)
  let before: readonly DeviceView[] = [], beforeMs = 0
  if (!out.json) context.streams.out(CLEAR)
  for (let look = 1; ; look++) {
    const devices = await devicesOf(admin), nowMs = context.clock.monoMs()
    const rate = (one: DeviceView): number | undefined => rateOf(one, before.find((other) => other.id === one.id), nowMs - beforeMs)
    const shown = id === undefined ? devices[0] : deviceById(devices, id)
    const headers = shown === undefined || ['detached', 'faulty', ''].includes(shown.state) ? [] : await headersOf(admin, shown.id)
    if (out.json) context.streams.out(`${JSON.stringify({ at: new Date(context.clock.wallMs()).toISOString(), devices: devices.map((one) => ({ ...one, keyBitsPerS: rate(one) ?? null })), headers })}\n`)
    else context.streams.out(`${REDRAW}${new Date(context.clock.wallMs()).toISOString()}  every ${options.every} s, Ctrl-C ends\n\n${deviceTable(devices, rate)}\n${headers.length === 0 ? '' : `\nnewest frames of ${shown?.id ?? ''}\n${headerTable(headers.slice(-8))}\n`}`)
    if (look === options.looks) return
    before = devices
    beforeMs = nowMs
    await pause(context.clock, options.every * 1_000)
  }
}

interface Check { readonly check: string, readonly ok: boolean, readonly found: string }

/** What a second look after a while says about a device. */
export const checkDevice = (before: DeviceView, after: DeviceView, elapsedMs: number, headers: readonly FrameHeaderView[]): Check[] => {
  const grew = (...names: string[]): number => count(after, ...names) - count(before, ...names)
  const frames = grew('acceptedFrames'), bad = grew('badForm', 'badCrc', 'badMac', 'badLink', 'badEpoch'), lost = grew('missingFrames'), dropped = grew('deviceDrops')
  const rate = rateOf(after, before, elapsedMs)
  return [
    { check: 'connected', ok: ['attached', 'running'].includes(after.state), found: `${after.state}${reasonOf(after) === '' ? '' : `: ${reasonOf(after)}`}` },
    { check: 'not in quarantine', ok: after.quarantine === '', found: after.quarantine === '' ? 'it is not' : after.quarantine },
    { check: 'frames come', ok: frames > 0, found: `${grouped(frames)} in ${(elapsedMs / 1_000).toFixed(1)} s${rate === undefined ? '' : `, ${grouped(rate)} bit/s`}` },
    { check: 'frames are whole', ok: bad === 0, found: `${grouped(bad)} refused` },
    { check: 'none is missing', ok: lost === 0, found: `${grouped(lost)} missing` },
    { check: 'none was dropped', ok: dropped === 0, found: `${grouped(dropped)} dropped by the device` },
    { check: 'source is not stuck', ok: grew('suspiciousFrames', 'stuckFrames') === 0, found: `${grouped(grew('suspiciousFrames', 'stuckFrames'))} suspicious` },
    { check: 'error rate', ok: after.qber === null || after.qber < 0.11, found: after.qber === null ? 'the device does not tell it' : percent(after.qber) },
    { check: 'frames are long', ok: headers.length === 0 || headers.some((h) => h.payloadBytes >= 32), found: headers.length === 0 ? 'none seen' : `${grouped(Math.max(...headers.map((h) => h.payloadBytes)))} bytes at most` },
  ]
}

const test = async (context: CliContext, id: string, options: { for: number } & AdminOptions, command: Command): Promise<void> => {
  const out = outputOf(context, command), admin = await adminOf(context, options)
  const before = deviceById(await devicesOf(admin), id), fromMs = context.clock.monoMs()
  await pause(context.clock, options.for * 1_000)
  const after = deviceById(await devicesOf(admin), id), elapsedMs = context.clock.monoMs() - fromMs
  const isOpen = !['detached', 'faulty', ''].includes(after.state)
  const checks = checkDevice(before, after, elapsedMs, isOpen ? await headersOf(admin, after.id) : [])
  const passed = checks.every((c) => c.ok)
  out.data({ device: after.id, passed, checks })
  out.line(table(['', 'CHECK', 'FOUND'], checks.map((c) => [c.ok ? 'ok' : 'FAILED', c.check, c.found]), 'lll'))
  out.line(passed ? `${after.id} delivers` : `${after.id} does not deliver as it should; docs/device-guide.md says what to do`)
  if (!passed) context.exit.code = exitCodes.failed.code
}
