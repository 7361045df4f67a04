import { settingName, type SettingPath } from './settings.js'

/** One thing that is wrong, where it was written and what to do about it. Carries no value that could be a secret. */
export interface ConfigFault {
  /** `kme-a.yaml:12`, `QKME_REST_PORT`, or `(default)`. */
  readonly place: string
  /** `rest.port`; '' for the whole. */
  readonly setting: string
  readonly message: string
}

/** Collects faults, so that all of them are told at once. */
export class Faults {
  private readonly loose: ConfigFault[] = []
  private readonly found: { readonly path: SettingPath, readonly fault: ConfigFault }[] = []

  constructor (private readonly placeOf: (path: SettingPath) => string) {}

  add (path: SettingPath, message: string, place = this.placeOf(path)): void {
    this.found.push({ path, fault: { place, setting: settingName(path), message } })
  }

  /** A fault that belongs to no setting. */
  addLoose (place: string, message: string): void {
    this.loose.push({ place, setting: '', message })
  }

  /** As `add`, unless the setting itself or one it depends on is known to be wrong: one cause, one message. */
  addDerived (path: SettingPath, message: string, dependsOn: readonly SettingPath[] = []): void {
    if ([path, ...dependsOn].some((one) => this.isFaulty(one))) return
    this.add(path, message)
  }

  /** Whether something is wrong at `path`, above it or below it. */
  isFaulty (path: SettingPath): boolean {
    return this.found.some((other) => {
      const common = Math.min(path.length, other.path.length)
      return path.slice(0, common).every((part, index) => part === other.path[index])
    })
  }

  list (): ConfigFault[] { return [...this.loose, ...this.found.map(({ fault }) => fault)] }
}
