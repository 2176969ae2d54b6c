// Package trees is gradient-boosted decision trees for a yes or no: histograms, growth of the best
// leaf first, logistic loss, and a compact file. A taught forest adds whole numbers, so that its
// answers have the same bits on every machine. It must not know sound or children.
package trees
