//! COCO images without Cityscapes classes become out-of-distribution training masks
