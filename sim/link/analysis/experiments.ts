/** How a published number was obtained here: read in the paper itself, or in another source that cites it. */
export type Provenance = 'read in the source' | 'second hand'

/** One published distance (or loss) and secret key rate. */
export interface Experiment {
  readonly id: string
  readonly system: string
  readonly reference: string
  readonly provenance: Provenance
  /** Fibre length; absent where only a loss is given. */
  readonly lengthKm?: number
  readonly lossDb?: number
  readonly rateBps: number
  /** Which family it belongs to. COW is another protocol: shown for orientation only. */
  readonly protocol: 'two decoys' | 'one decoy' | 'decoy' | 'COW'
}

const boaron = (id: string, lengthKm: number, lossDb: number, rateBps: number): Experiment => ({
  id, system: 'Boaron 2018', reference: 'Boaron et al., PRL 121 190502 (2018)', provenance: 'second hand', lengthKm, lossDb, rateBps, protocol: 'one decoy',
})

/** Published points that plots and tables place the model against. Facts only; each names its source. */
export const experiments: readonly Experiment[] = [
  { id: 'yuan-2018', system: 'Toshiba 2018', reference: 'Yuan et al., JLT 36 3427 (2018), arXiv 1807.04484', provenance: 'read in the source', lengthKm: 10, lossDb: 2, rateBps: 13.72e6, protocol: 'two decoys' },
  { id: 'li-2023', system: 'USTC 2023', reference: 'Li et al., Nat. Photon. 17 416 (2023), arXiv 2307.02364', provenance: 'read in the source', lengthKm: 10, rateBps: 115.8e6, protocol: 'decoy' },
  { id: 'gruenenfelder-10', system: 'Geneva 2023', reference: 'Gruenenfelder et al., Nat. Photon. 17 422 (2023), arXiv 2210.16126', provenance: 'read in the source', lengthKm: 10, rateBps: 64e6, protocol: 'one decoy' },
  { id: 'gruenenfelder-102', system: 'Geneva 2023', reference: 'Gruenenfelder et al., Nat. Photon. 17 422 (2023), arXiv 2210.16126', provenance: 'read in the source', lengthKm: 102.4, rateBps: 3.0e6, protocol: 'one decoy' },
  boaron('boaron-252', 251.7, 42.7, 4_900),
  boaron('boaron-302', 302.1, 51.3, 790),
  boaron('boaron-355', 354.5, 60.6, 62),
  boaron('boaron-405', 404.9, 69.3, 6.5),
  boaron('boaron-421', 421.1, 71.9, 0.25),
  { id: 'trel-2010', system: 'Toshiba 2010', reference: 'Dixon et al., APL 96 161102 (2010)', provenance: 'read in the source', lengthKm: 50, rateBps: 1e6, protocol: 'decoy' },
  { id: 'tokyo-2010', system: 'Tokyo network', reference: 'Sasaki et al., Opt. Express 19 10387 (2011)', provenance: 'read in the source', lengthKm: 45, lossDb: 14.5, rateBps: 304e3, protocol: 'decoy' },
  { id: 'zhao-2006', system: 'Zhao 2006', reference: 'Zhao et al., PRL 96 070502 (2006)', provenance: 'read in the source', lengthKm: 15, rateBps: 165, protocol: 'one decoy' },
  { id: 'hasegawa-2007', system: 'Hasegawa 2007', reference: 'Hasegawa et al., arXiv 0705.3081', provenance: 'read in the source', lengthKm: 20, rateBps: 200, protocol: 'decoy' },
  { id: 'walenta-2014', system: 'Walenta 2014', reference: 'Walenta et al., arXiv 1309.2583', provenance: 'read in the source', lengthKm: 25, rateBps: 140e3, protocol: 'COW' },
  { id: 'korzh-2015', system: 'Korzh 2015', reference: 'Korzh et al., arXiv 1407.7427', provenance: 'read in the source', lengthKm: 307, lossDb: 51.9, rateBps: 3.18, protocol: 'COW' },
  { id: 'bolanos-5', system: 'Bolanos 2026', reference: 'Bolanos et al., arXiv 2602.08908', provenance: 'read in the source', lossDb: 5, rateBps: 10e6, protocol: 'decoy' },
  { id: 'bolanos-38', system: 'Bolanos 2026', reference: 'Bolanos et al., arXiv 2602.08908', provenance: 'read in the source', lossDb: 38.5, rateBps: 6.5e3, protocol: 'decoy' },
]
