/** The machine that a guest runs on: its PCI devices, its kernel modules. */
import { execFileSync } from 'node:child_process'
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

const DEVICES = '/sys/bus/pci/devices'
const DRIVERS = '/sys/bus/pci/drivers'

/** One line of JSON to the host, over the serial line. */
export const say = (event: string, fields: Record<string, unknown> = {}): void => {
  process.stdout.write(`QKME ${JSON.stringify({ event, upS: Number(line('/proc/uptime').split(' ')[0]), ...fields })}\n`)
}

const line = (path: string): string => readFileSync(path, 'utf8').trim()

/** Address of the first function with these IDs. */
export const findDevice = (vendor: string, device: string): string => {
  const found = readdirSync(DEVICES).find((address) => line(join(DEVICES, address, 'vendor')) === vendor && line(join(DEVICES, address, 'device')) === device)
  if (found === undefined) throw new Error(`no PCI device ${vendor}:${device} here`)
  return found
}

/** Loads modules of /modules, those they need first. */
export const loadModules = (...names: readonly string[]): void => {
  for (const name of names) execFileSync('/bin/busybox', ['insmod', `/modules/${name}.ko`], { stdio: 'inherit' })
}

/** What docs/device-pci.md tells an operator to do. */
export const bindDriver = (address: string, driver: string): void => {
  writeFileSync(join(DEVICES, address, 'driver_override'), driver)
  writeFileSync(join(DRIVERS, driver, 'bind'), address)
}

/** The command register of a function. */
export const commandOf = (address: string): number => readFileSync(join(DEVICES, address, 'config')).readUInt16LE(4)

/** How often the kernel has seen the interrupt of a function that VFIO has. */
export const vfioInterrupts = (address: string): number => {
  const found = readFileSync('/proc/interrupts', 'utf8').split('\n').find((text) => text.includes('vfio-msi') && text.includes(address))
  return found === undefined ? 0 : Number(found.trim().split(/\s+/)[1])
}
