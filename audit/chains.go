package audit

// inventoryChains holds the inventories of a log together: each names the one before, of the same
// bucket, so that none can be begun anew in silence.
type inventoryChains struct {
	last  map[string]string // id of an inventory that none follows yet -> its root
	begun int               // inventories that none comes before
}

// chain relates an inventory to the one before it.
func (v *verification) chain(n int64, body []byte) {
	e, err := Parse(body)
	if err != nil || e.Inventory == nil {
		v.report.find("entry %d: an inventory that cannot be read", n)
		return
	}
	c := &v.chains
	if c.last == nil {
		c.last = map[string]string{}
	}
	switch root, ok := c.last[e.Inventory.PreviousID]; {
	case e.Inventory.PreviousID == "":
		c.begun++
	case !ok && v.report.Genesis != nil:
		c.begun++ // it goes on from the shard before
	case !ok:
		v.report.find("entry %d: an inventory that follows none of those before, or one that another follows already", n)
	case root != e.Inventory.Previous:
		v.report.find("entry %d: an inventory that gives another root for the one before than that has", n)
	}
	delete(c.last, e.Inventory.PreviousID)
	c.last[e.ID] = e.Inventory.Root
}
